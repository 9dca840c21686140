-- What `wagres doctor` reads of the server. Locks nothing.
SELECT current_setting('server_version_num')::int AS "version!", clock_timestamp() AS "now!",
       pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS "read_only!",
       current_setting('fsync')::boolean AS "fsync!", current_setting('autovacuum')::boolean AS "autovacuum!",
       current_setting('max_connections')::bigint - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS "free_connections!",
       current_user::text AS "role!", to_regclass('wa.session') IS NOT NULL AS "there!"

-- What `wagres doctor` reads of the server. Locks nothing.
SELECT current_setting('server_version_num')::int AS "version!", clock_timestamp() AS "now!",
       pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS "read_only!",
       current_setting('fsync')::boolean AS "fsync!", current_setting('autovacuum')::boolean AS "autovacuum!",
       current_setting('max_connections')::bigint - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS "free_connections!",
       current_user::text AS "role!",
       -- By name, because a role that may not use the schema gets an error from to_regclass.
       EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'wa' AND c.relname = 'session') AS "there!",
       -- What the other statements read and this role may not.
       (SELECT array_agg(n.nspname || '.' || c.relname ORDER BY n.nspname = 'wa' DESC, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE (n.nspname = 'wa' AND c.relname IN ('auth_home', 'connectable', 'consumer', 'lease', 'outbound', 'sealing', 'schedule', 'session', 'session_health', 'worker')
               OR c.oid = to_regclass('_sqlx_migrations'))
          AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))) AS hidden

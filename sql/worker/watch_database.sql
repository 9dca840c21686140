-- What an application can do to the server as a whole: the share of the queue of notifications in use (0 to 1), and the
-- oldest open transaction of a client, with its age in seconds; prepared is its name if it is prepared (PREPARE TRANSACTION). "hidden": there are clients whose transactions this role
-- may not see, because it lacks pg_read_all_stats. Locks nothing.
SELECT pg_notification_queue_usage() AS "queue!", oldest.pid, oldest.role::text, oldest.application, oldest.prepared, oldest.seconds::float8 AS seconds,
       EXISTS (SELECT FROM pg_stat_activity a WHERE a.backend_type IS NULL) AS "hidden!"
FROM (VALUES (1)) AS one
LEFT JOIN LATERAL (
    SELECT a.pid, a.usename AS role, nullif(a.application_name, '') AS application, NULL AS prepared,
           extract(epoch FROM clock_timestamp() - a.xact_start) AS seconds
    FROM pg_stat_activity a
    WHERE a.xact_start IS NOT NULL AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
    UNION ALL
    SELECT NULL, p.owner, NULL, p.gid, extract(epoch FROM clock_timestamp() - p.prepared)
    FROM pg_prepared_xacts p WHERE p.database = current_database()
    ORDER BY seconds DESC LIMIT 1
) oldest ON true

-- Registers a worker for $5 seconds, with room for $6 sessions: id $1, host $2, pid $3, version $4, home $7, and, if $8, which
-- connection this is. Locks no row that exists.
INSERT INTO wa.worker (worker_id, host, pid, version, lease_until, max_sessions, home, backend_pid, backend_started)
VALUES ($1, $2, $3, $4, now() + $5::float8 * interval '1 second', $6, $7, CASE WHEN $8 THEN pg_backend_pid() END,
        (SELECT a.backend_start FROM pg_stat_get_activity(pg_backend_pid()) a WHERE $8))

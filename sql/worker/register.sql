-- Registers a worker for $5 seconds, which holds at most $6 sessions. Locks nothing else.
INSERT INTO wa.worker (worker_id, host, pid, version, lease_until, max_sessions)
VALUES ($1, $2, $3, $4, now() + $5::float8 * interval '1 second', $6)

-- Registers a worker for $5 seconds, with room for $6 sessions: id $1, host $2, pid $3, version $4, home $7. Locks no
-- row that exists.
INSERT INTO wa.worker (worker_id, host, pid, version, lease_until, max_sessions, home)
VALUES ($1, $2, $3, $4, now() + $5::float8 * interval '1 second', $6, $7)

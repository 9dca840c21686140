-- Registers a worker for $5 seconds. Locks nothing else.
INSERT INTO wa.worker (worker_id, host, pid, version, lease_until)
VALUES ($1, $2, $3, $4, now() + $5::float8 * interval '1 second')

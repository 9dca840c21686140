-- Claims due maintenance jobs for worker $1, at most $2. A running job without a worker is one whose worker died.
-- Locks the claimed rows.
WITH candidate AS (
    SELECT id FROM wa.maintenance_job
    WHERE (status = 'queued' AND run_at <= now()) OR (status = 'running' AND worker_id IS NULL)
    ORDER BY id
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE wa.maintenance_job j
SET status = 'running', worker_id = $1, attempts = j.attempts + 1, started_at = now()
FROM candidate c WHERE j.id = c.id
RETURNING j.id, j.kind, j.attempts

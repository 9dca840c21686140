-- Claims due maintenance jobs of the kinds $3 for worker $1, at most $2; a job of a kind that this worker does not
-- know waits for a newer worker. A running job without a worker had one that died: it is claimed again, or failed
-- after its last attempt. Jobs of one schedule run one after the other. Locks the claimed rows.
WITH given_up AS (
    -- Jobs whose worker died at the last attempt.
    UPDATE wa.maintenance_job
    SET status = 'failed', finished_at = now(), last_error = 'the worker died',
        errors = errors || jsonb_build_object('attempt', attempts, 'at', now(), 'error', 'the worker died')
    WHERE status = 'running' AND worker_id IS NULL AND attempts >= max_attempts AND kind = ANY ($3::text[])
), candidate AS (
    -- Jobs that this worker claims.
    SELECT id, status FROM wa.maintenance_job j
    WHERE kind = ANY ($3::text[])
      AND ((status = 'queued' AND run_at <= now()) OR (status = 'running' AND worker_id IS NULL AND attempts < max_attempts))
      AND NOT EXISTS (
          SELECT FROM wa.maintenance_job earlier
          WHERE earlier.schedule = j.schedule AND earlier.id < j.id AND earlier.status IN ('queued', 'running')
      )
    ORDER BY id
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE wa.maintenance_job j
SET status = 'running', worker_id = $1, attempts = j.attempts + 1, started_at = now(), result = NULL,
    last_error = CASE c.status WHEN 'running' THEN 'the worker died' ELSE j.last_error END,
    errors = CASE c.status
        WHEN 'running' THEN j.errors || jsonb_build_object('attempt', j.attempts, 'at', now(), 'error', 'the worker died')
        ELSE j.errors
    END
FROM candidate c WHERE j.id = c.id
RETURNING j.id, j.kind, j.args, j.attempts

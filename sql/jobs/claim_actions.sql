-- Claims the actions $2, which sql/jobs/next_actions.sql has found, for worker $1: those whose sessions it still holds
-- and that nobody runs. Locks the jobs and share-locks their leases; leaves out what others have locked.
WITH candidate AS (
    -- Actions that this worker claims.
    SELECT j.id, l.epoch
    FROM wa.session_job j JOIN wa.lease l USING (session_id)
    WHERE j.id = ANY ($2::bigint[]) AND l.holder = $1
      AND (j.status = 'queued' AND j.run_at <= now() OR j.status = 'running'
           AND NOT EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = j.worker_id AND w.lease_until > now()))
    FOR UPDATE OF j SKIP LOCKED
    FOR SHARE OF l SKIP LOCKED
)
UPDATE wa.session_job j
SET status = 'running', worker_id = $1, attempts = j.attempts + 1, started_at = now()
FROM candidate c
WHERE j.id = c.id
RETURNING j.id, j.session, j.session_id, c.epoch, j.kind, j.reason, j.args, j.attempts, false AS "scheduled!"

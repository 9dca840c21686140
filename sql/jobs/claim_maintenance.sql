-- Claims due maintenance jobs of the kinds $2 for worker $1. $3 has the slot of each kind, counted from 1, and $4 how many
-- jobs each slot takes at most; a job of a kind that this worker does not know waits for a newer worker. Tenants take
-- turns: of their retries goes first that of the tenants whose last one began longest ago. A running job without a live
-- worker had one that died: it is claimed again, or failed after its last attempt. Jobs of one schedule run one after
-- the other. Locks those rows; skips rows that somebody else has locked.
WITH orphan AS MATERIALIZED (
    -- Jobs whose worker died at the last attempt.
    SELECT j.id FROM wa.maintenance_job j
    WHERE j.status = 'running' AND j.attempts >= j.max_attempts AND j.kind = ANY ($2::text[])
      AND NOT EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = j.worker_id AND w.lease_until > now())
    FOR UPDATE OF j SKIP LOCKED
), given_up AS (
    -- These have failed.
    UPDATE wa.maintenance_job j
    SET status = 'failed', finished_at = now(), last_error = 'the worker died',
        errors = j.errors || jsonb_build_object('attempt', j.attempts, 'at', now(), 'error', 'the worker died')
    FROM orphan WHERE j.id = orphan.id
), candidate AS (
    -- Jobs that this worker claims.
    SELECT due.id, due.status
    FROM unnest($4::bigint[]) WITH ORDINALITY AS slot (room, place)
    CROSS JOIN LATERAL (
        SELECT j.id, j.status FROM wa.maintenance_job j
        WHERE j.kind = ANY (ARRAY(SELECT k.kind FROM unnest($2::text[], $3::bigint[]) AS k (kind, place) WHERE k.place = slot.place))
          AND ((j.status = 'queued' AND j.run_at <= now()) OR (j.status = 'running' AND j.attempts < j.max_attempts
                   AND NOT EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = j.worker_id AND w.lease_until > now())))
          AND NOT EXISTS (
              SELECT FROM wa.maintenance_job earlier
              WHERE earlier.schedule = j.schedule AND earlier.id < j.id AND earlier.status IN ('queued', 'running')
          )
        ORDER BY CASE WHEN j.kind = 'retry_failed' THEN (
                     SELECT max(e.started_at) FROM wa.maintenance_job e
                     WHERE e.kind = 'retry_failed' AND e.started_at IS NOT NULL AND coalesce(e.tenants, '{}') = coalesce(j.tenants, '{}')
                 ) END NULLS FIRST, j.id
        LIMIT slot.room
        FOR UPDATE OF j SKIP LOCKED
    ) due
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

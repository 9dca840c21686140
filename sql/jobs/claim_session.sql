-- Claims the jobs $2 that change a connection, which sql/jobs/next_connections.sql has found, for worker $1: of sessions
-- that it holds, and of free sessions, whose lease it takes in the same statement, after reset_stale has corrected what
-- a dead worker left. What has changed since then is left out. After a failover it claims nothing before a heartbeat has
-- noticed that, and takes no lease before the workers of the time before have stopped. Locks the jobs and their leases; skips what somebody else
-- has locked.
WITH candidate AS (
    -- Jobs that this worker claims.
    SELECT j.id, j.session_id, l.holder, l.epoch
    FROM wa.session_job j JOIN wa.lease l USING (session_id)
    WHERE NOT EXISTS (SELECT FROM wa.auth_home k WHERE wa.home_change(k) IS NOT NULL)
      AND j.id = ANY ($2::bigint[]) AND NOT j.action AND j.status IN ('queued', 'running')
      AND ((j.status = 'queued' AND j.run_at <= now()) OR (j.status = 'running' AND NOT EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = j.worker_id AND w.lease_until > now())))
      AND (l.holder = $1 OR l.holder IS NULL
          AND NOT EXISTS (SELECT FROM wa.auth_home k WHERE k.free_at > now())
          AND NOT EXISTS (SELECT FROM wa.wanted w WHERE w.session_id = j.session_id AND w.worker_id <> $1)
          AND NOT EXISTS (SELECT FROM wa.session s WHERE s.session_id = j.session_id AND wa.needs_holder(s.status)))
      AND NOT EXISTS (
          SELECT FROM wa.session_job other
          WHERE other.session_id = j.session_id AND NOT other.action AND other.status IN ('queued', 'running') AND other.id <> j.id
            AND ((other.status = 'running' AND EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = other.worker_id AND w.lease_until > now()))
                 OR (other.id < j.id AND (other.status = 'running' OR other.run_at <= now())))
      )
    FOR UPDATE OF j, l SKIP LOCKED
), taken AS (
    -- Free leases that it takes with them.
    UPDATE wa.lease l SET holder = $1, epoch = wa.next_epoch(l.epoch), taken_at = now()
    FROM candidate c WHERE l.session_id = c.session_id AND c.holder IS NULL
    RETURNING l.session_id, l.epoch
)
UPDATE wa.session_job j
SET status = 'running', worker_id = $1, attempts = j.attempts + 1, started_at = now()
FROM candidate c LEFT JOIN taken USING (session_id)
WHERE j.id = c.id
RETURNING j.id, j.session, j.session_id, coalesce(taken.epoch, c.epoch) AS "epoch!", j.kind, j.reason, j.args, j.attempts,
          j.run_at > j.created_at AS "scheduled!"

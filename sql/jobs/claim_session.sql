-- Claims due session jobs for worker $1, at most $2: of sessions that it holds, and of free sessions, whose lease it
-- takes in the same statement, after reset_stale has corrected what a dead worker left. Jobs of a session run one at a
-- time, in order. Actions wait for a connection; jobs that change the connection do not wait for actions. A running
-- job without a worker had one that died. Downloads run beside the other actions, and at most $3 of them in one
-- worker. Jobs of kinds other than $4 wait for a newer worker. Locks the jobs and their leases.
WITH candidate AS (
    -- Jobs that this worker claims.
    SELECT j.id, j.session_id, l.holder, l.epoch
    FROM wa.session_job j JOIN wa.lease l USING (session_id)
    WHERE j.status IN ('queued', 'running')
      AND ((j.status = 'queued' AND j.run_at <= now()) OR (j.status = 'running' AND j.worker_id IS NULL))
      AND j.kind = ANY ($4::text[])
      AND (l.holder = $1 OR NOT j.action AND l.holder IS NULL AND (l.wanted IS NULL OR l.wanted = $1)
          AND NOT EXISTS (SELECT FROM wa.session s WHERE s.session_id = j.session_id AND wa.needs_holder(s.status)))
      AND (NOT j.action OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = j.session_id AND s.status = 'connected'))
      AND (j.kind <> 'download' OR j.id IN (
          SELECT min(d.id) FROM wa.session_job d JOIN wa.lease h USING (session_id) JOIN wa.session s USING (session_id)
          WHERE d.kind = 'download' AND d.status IN ('queued', 'running') AND (d.worker_id IS NULL OR d.status = 'queued')
            AND d.run_at <= now() AND h.holder = $1 AND s.status = 'connected'
          GROUP BY d.session_id ORDER BY 1
          LIMIT greatest($3 - (SELECT count(*) FROM wa.session_job r WHERE r.worker_id = $1 AND r.status = 'running' AND r.kind = 'download'), 0)
      ))
      AND NOT EXISTS (
          SELECT FROM wa.session_job other
          -- Said apart from the alternatives, so that each session's own few jobs are looked at and not all that wait.
          WHERE other.session_id = j.session_id AND other.status IN ('queued', 'running') AND other.id <> j.id
            AND (NOT other.action OR j.action AND (other.kind = 'download') = (j.kind = 'download'))
            AND ((other.status = 'running' AND other.worker_id IS NOT NULL)
                 OR (other.id < j.id AND (other.status = 'running' OR other.run_at <= now())))
      )
    ORDER BY j.id
    LIMIT $2
    FOR UPDATE OF j, l SKIP LOCKED
), taken AS (
    -- Free leases that it takes with them.
    UPDATE wa.lease l SET holder = $1, epoch = l.epoch + 1, taken_at = now()
    FROM candidate c WHERE l.session_id = c.session_id AND c.holder IS NULL
    RETURNING l.session_id, l.epoch
)
UPDATE wa.session_job j
SET status = 'running', worker_id = $1, attempts = j.attempts + 1, started_at = now()
FROM candidate c LEFT JOIN taken USING (session_id)
WHERE j.id = c.id
RETURNING j.id, j.session, j.session_id, coalesce(taken.epoch, c.epoch) AS "epoch!", j.kind, j.reason, j.args, j.attempts

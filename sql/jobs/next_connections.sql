-- The jobs that change a connection and that worker $1 may claim: of each tenant the first $3, without the jobs $4. They
-- are of sessions that it holds, and of free sessions. Those of a session run one at a time, in order, and do not wait
-- for actions (sql/jobs/next_actions.sql). A running job without a live worker had one that died. Jobs of kinds other
-- than $2 wait for a newer worker. Also the jobs that this worker runs (mine). Locks nothing.
WITH candidate AS (
    -- Jobs that this worker may claim, numbered by tenant.
    SELECT j.id, j.session_id, s.tenant, row_number() OVER (PARTITION BY s.tenant ORDER BY j.id) AS place
    FROM wa.session_job j JOIN wa.lease l USING (session_id) JOIN wa.session s USING (session_id)
    WHERE NOT j.action AND j.status IN ('queued', 'running')
      AND ((j.status = 'queued' AND j.run_at <= now()) OR (j.status = 'running' AND NOT EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = j.worker_id AND w.lease_until > now())))
      AND j.kind = ANY ($2::text[])
      AND NOT j.id = ANY ($4::bigint[])
      AND (l.holder = $1 OR l.holder IS NULL
          AND NOT EXISTS (SELECT FROM wa.wanted w WHERE w.session_id = j.session_id AND w.worker_id <> $1)
          AND NOT wa.needs_holder(s.status))
      AND NOT EXISTS (
          SELECT FROM wa.session_job other
          -- Said apart from the alternatives, so that each session's own few jobs are looked at and not all that wait.
          WHERE other.session_id = j.session_id AND NOT other.action AND other.status IN ('queued', 'running') AND other.id <> j.id
            AND ((other.status = 'running' AND EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = other.worker_id AND w.lease_until > now()))
                 OR (other.id < j.id AND (other.status = 'running' OR other.run_at <= now())))
      )
)
SELECT j.id AS "id!", j.session_id AS "session_id!", s.tenant AS "tenant!", true AS "mine!"
FROM wa.session_job j JOIN wa.session s USING (session_id)
WHERE NOT j.action AND j.status = 'running' AND j.worker_id = $1
UNION ALL
SELECT id, session_id, tenant, false FROM candidate WHERE place <= $3
ORDER BY "id!"

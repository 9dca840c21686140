-- The actions that worker $1 may claim, longest waiting first: the next one of each session that it holds and that is
-- connected, and the next download, which runs beside the others. None while one of the same session runs, or while an
-- earlier job waits that changes the connection. An action that runs without a live worker had one that died. An action
-- of a kind other than $2 waits for a newer worker, and those behind it wait too. Also the actions that this worker runs
-- (mine). Reads one row for each session with actions, not all that wait; locks nothing.
WITH RECURSIVE waiting (session_id) AS (
    -- The sessions with queued actions, each by one step through the index session_job_action.
    SELECT min(j.session_id) FROM wa.session_job j WHERE j.action AND j.status = 'queued'
    UNION ALL
    SELECT (SELECT min(j.session_id) FROM wa.session_job j
            WHERE j.action AND j.status = 'queued' AND j.session_id > waiting.session_id)
    FROM waiting WHERE waiting.session_id IS NOT NULL
), running AS MATERIALIZED (
    -- The actions that somebody runs, or ran.
    SELECT j.id, j.session_id, j.kind, j.run_at, j.worker_id,
           EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = j.worker_id AND w.lease_until > now()) AS alive
    FROM wa.session_job j WHERE j.action AND j.status = 'running'
), candidate AS (
    -- The next queued action of each session, and its next download.
    SELECT next.id, next.session_id, next.kind, next.run_at
    FROM waiting CROSS JOIN (VALUES (false), (true)) AS lane (download)
    CROSS JOIN LATERAL (
        SELECT j.id, j.session_id, j.kind, j.run_at FROM wa.session_job j
        WHERE j.session_id = waiting.session_id AND (j.kind = 'download') = lane.download
          AND j.action AND j.status = 'queued' AND j.run_at <= now()
        ORDER BY j.run_at, j.id
        LIMIT 1
    ) next
    WHERE NOT EXISTS (
        SELECT FROM running r WHERE r.session_id = waiting.session_id AND (r.kind = 'download') = lane.download)
    UNION ALL
    -- Actions that somebody ran who died, instead of the queued ones.
    (SELECT DISTINCT ON (r.session_id, r.kind = 'download') r.id, r.session_id, r.kind, r.run_at
     FROM running r
     WHERE NOT r.alive AND NOT EXISTS (
         SELECT FROM running other
         WHERE other.session_id = r.session_id AND (other.kind = 'download') = (r.kind = 'download') AND other.alive)
     ORDER BY r.session_id, r.kind = 'download', r.id)
)
SELECT r.id AS "id!", r.session_id AS "session_id!", s.tenant AS "tenant!", r.kind = 'download' AS "download!", true AS "mine!",
       r.run_at AS "run_at!"
FROM running r JOIN wa.session s USING (session_id)
WHERE r.worker_id = $1
UNION ALL
SELECT c.id, c.session_id, s.tenant, c.kind = 'download', false, c.run_at
FROM candidate c JOIN wa.lease l USING (session_id) JOIN wa.session s USING (session_id)
WHERE l.holder = $1 AND s.status = 'connected' AND c.kind = ANY ($2::text[])
  AND NOT EXISTS (
      SELECT FROM wa.session_job other
      WHERE other.session_id = c.session_id AND NOT other.action AND other.status IN ('queued', 'running')
        AND (other.status = 'running' AND EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = other.worker_id AND w.lease_until > now())
             OR other.id < c.id AND (other.status = 'running' OR other.run_at <= now())))
ORDER BY "run_at!", "id!"

-- Writes the progress $3 of maintenance job $1, run by worker $2, unless somebody has locked the row: the next progress
-- is written instead. Returns whether the job is still this worker's; if not, it is cancelled, or another worker runs
-- it. Locks that row.
WITH free AS MATERIALIZED (
    -- The row, if nobody else has locked it.
    SELECT id FROM wa.maintenance_job WHERE id = $1 AND worker_id = $2 AND status = 'running' FOR NO KEY UPDATE SKIP LOCKED
), written AS (
    -- The progress.
    UPDATE wa.maintenance_job j SET result = $3 FROM free WHERE j.id = free.id
)
SELECT EXISTS (SELECT FROM wa.maintenance_job WHERE id = $1 AND worker_id = $2 AND status = 'running') AS "mine!"

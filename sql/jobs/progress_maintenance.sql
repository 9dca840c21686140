-- Writes the progress $3 of maintenance job $1, run by worker $2. No row: the job is cancelled, or another worker runs
-- it. Locks that row.
UPDATE wa.maintenance_job SET result = $3 WHERE id = $1 AND worker_id = $2 AND status = 'running'

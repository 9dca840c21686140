-- Writes what maintenance job $1, run by worker $2, has done so far. No row: it is cancelled or another's. Locks that row.
UPDATE wa.maintenance_job SET result = $3 WHERE id = $1 AND worker_id = $2 AND status = 'running'

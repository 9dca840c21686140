-- Ends the run of maintenance job $1 by worker $2: done with result $4, failed, or queued again. Locks that row.
UPDATE wa.maintenance_job
SET status = ($3::text)::wa.job_status, result = coalesce($4::jsonb, result), last_error = $5, worker_id = NULL,
    run_at = CASE WHEN $3::text = 'queued' THEN now() + least(power(2, attempts), 300) * interval '1 second' ELSE run_at END,
    finished_at = CASE WHEN $3::text = 'queued' THEN NULL ELSE now() END
WHERE id = $1 AND worker_id = $2 AND status = 'running'

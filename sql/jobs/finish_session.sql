-- Ends the run of session job $1 by worker $2: done, failed, or queued again after $4 seconds. Locks that row.
UPDATE wa.session_job
SET status = ($3::text)::wa.job_status, last_error = $5, worker_id = NULL,
    run_at = CASE WHEN $3::text = 'queued' THEN now() + $4::float8 * interval '1 second' ELSE run_at END,
    finished_at = CASE WHEN $3::text = 'queued' THEN NULL ELSE now() END
WHERE id = $1 AND worker_id = $2 AND status = 'running'

-- Ends the run of maintenance job $1 by worker $2 with outcome $3: done, with result $4; failed for good, with error
-- $5; retry, with error $5, after a backoff with jitter, or failed after the last attempt; release, which queues it at
-- once and does not count the attempt. Changes nothing when the worker no longer runs the job. Locks that row.
UPDATE wa.maintenance_job
SET status = CASE
        WHEN $3::text = 'release' OR ($3::text = 'retry' AND attempts < max_attempts) THEN 'queued'::wa.job_status
        WHEN $3::text = 'done' THEN 'done'::wa.job_status
        ELSE 'failed'::wa.job_status
    END,
    result = coalesce($4::jsonb, result),
    last_error = coalesce($5::text, last_error),
    errors = CASE
        WHEN $5::text IS NULL OR $3::text = 'release' THEN errors
        ELSE errors || jsonb_build_object('attempt', attempts, 'at', now(), 'error', $5::text)
    END,
    attempts = CASE WHEN $3::text = 'release' THEN attempts - 1 ELSE attempts END,
    worker_id = NULL,
    run_at = CASE
        WHEN $3::text = 'retry' AND attempts < max_attempts
        THEN now() + least(power(2, least(attempts, 10)), 300) * (0.75 + random() / 2) * interval '1 second'
        ELSE run_at
    END,
    finished_at = CASE WHEN $3::text = 'release' OR ($3::text = 'retry' AND attempts < max_attempts) THEN NULL ELSE now() END
WHERE id = $1 AND worker_id = $2 AND status = 'running'

-- Ends the run of maintenance job $1 by worker $2 with outcome $3: done, with result $4; failed for good, with error
-- $5; retry, with error $5, after a backoff with jitter, or failed after the last attempt; release, which queues it at
-- once and does not count the attempt. Changes nothing when the worker no longer runs the job. Locks that row without
-- waiting: an error at once when somebody else has locked it.
UPDATE wa.maintenance_job j
SET status = CASE
        WHEN $3::text = 'release' OR ($3::text = 'retry' AND j.attempts < j.max_attempts) THEN 'queued'::wa.job_status
        WHEN $3::text = 'done' THEN 'done'::wa.job_status
        ELSE 'failed'::wa.job_status
    END,
    result = coalesce($4::jsonb, j.result),
    last_error = coalesce($5::text, j.last_error),
    errors = CASE
        WHEN $5::text IS NULL OR $3::text = 'release' THEN j.errors
        ELSE j.errors || jsonb_build_object('attempt', j.attempts, 'at', now(), 'error', $5::text)
    END,
    attempts = CASE WHEN $3::text = 'release' THEN j.attempts - 1 ELSE j.attempts END,
    worker_id = NULL,
    run_at = CASE
        WHEN $3::text = 'retry' AND j.attempts < j.max_attempts
        THEN now() + least(power(2, least(j.attempts, 10)), 300) * (0.75 + random() / 2) * interval '1 second'
        ELSE j.run_at
    END,
    finished_at = CASE WHEN $3::text = 'release' OR ($3::text = 'retry' AND j.attempts < j.max_attempts) THEN NULL ELSE now() END
FROM (SELECT id FROM wa.maintenance_job WHERE id = $1 AND worker_id = $2 AND status = 'running' FOR NO KEY UPDATE NOWAIT) own
WHERE j.id = own.id

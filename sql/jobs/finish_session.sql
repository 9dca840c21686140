-- Ends the run of session job $1 by worker $2: done, failed, or queued again after $4 seconds. The end of an action is
-- announced on the channel wa_job. Locks that row.
WITH ended AS (
    -- The job.
    UPDATE wa.session_job
    SET status = ($3::text)::wa.job_status, last_error = $5, worker_id = NULL,
        run_at = CASE WHEN $3::text = 'queued' THEN now() + $4::float8 * interval '1 second' ELSE run_at END,
        finished_at = CASE WHEN $3::text = 'queued' THEN NULL ELSE now() END
    WHERE id = $1 AND worker_id = $2 AND status = 'running'
    RETURNING id, session, kind, status, action
)
SELECT pg_notify('wa_job', json_build_object('id', id, 'session', session, 'kind', kind, 'status', status)::text)::text AS announced
FROM ended WHERE action AND status <> 'queued'

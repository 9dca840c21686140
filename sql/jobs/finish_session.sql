-- Ends the run of session job $1 by worker $2: done, failed, cancelled, queued again after $4 seconds with error $5, or
-- release, which is queued again too and does not count the attempt. A connection for which a close or logout has been
-- queued meanwhile is not queued again, because it would come after that. The end of an action is announced on the
-- channel wa_job. Locks that row; for a job that is queued again also the session's row, with which nobody else queues a
-- job of that kind. Waits for neither: an error at once when somebody else has locked one of them.
WITH own AS (
    -- The job, and what becomes of it.
    SELECT id, CASE
            WHEN $3::text NOT IN ('queued', 'release') THEN $3::text
            WHEN kind IN ('link', 'connect', 'reconnect', 'passkey') AND EXISTS (
                SELECT FROM wa.session_job later
                WHERE later.session_id = j.session_id AND later.id > j.id AND NOT later.action AND later.status = 'queued'
                  AND later.kind IN ('close', 'logout') AND later.run_at <= now())
            THEN 'cancelled'
            ELSE 'queued'
        END::wa.job_status AS next
    FROM wa.session_job j WHERE id = $1 AND worker_id = $2 AND status = 'running' FOR NO KEY UPDATE NOWAIT
), ended AS (
    -- The same, written.
    UPDATE wa.session_job j
    SET status = own.next, last_error = $5, worker_id = NULL,
        attempts = j.attempts - CASE WHEN $3::text = 'release' THEN 1 ELSE 0 END,
        run_at = CASE WHEN own.next = 'queued' THEN now() + $4::float8 * interval '1 second' ELSE j.run_at END,
        finished_at = CASE WHEN own.next = 'queued' THEN NULL ELSE now() END
    FROM own
    WHERE j.id = own.id
      AND ($3::text NOT IN ('queued', 'release')
           OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = j.session_id FOR NO KEY UPDATE NOWAIT))
    RETURNING j.session_id, j.id, j.status, j.action
)
SELECT pg_notify('wa_job', json_build_object('session_id', session_id, 'id', id)::text)::text AS announced
FROM ended WHERE action AND status <> 'queued'

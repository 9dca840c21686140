-- The $3 newest session jobs, of session $1 or of all, with status $2 or any. Locks nothing.
SELECT id, session AS "belongs_to?", kind, status::text AS "status!", attempts, created_at, run_at,
       coalesce(last_error, reason) AS note
FROM wa.session_job
WHERE ($1::text IS NULL OR session_id = (SELECT s.session_id FROM wa.session s WHERE s.name = $1))
  AND ($2::text IS NULL OR status = $2::wa.job_status)
ORDER BY id DESC
LIMIT $3

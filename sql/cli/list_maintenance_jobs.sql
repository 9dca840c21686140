-- The $2 newest maintenance jobs, with status $1 or any. Locks nothing.
SELECT id, schedule AS "belongs_to?", kind, status::text AS "status!", attempts, created_at, run_at,
       coalesce(last_error, result::text) AS note
FROM wa.maintenance_job
WHERE $1::text IS NULL OR status = $1::wa.job_status
ORDER BY id DESC
LIMIT $2

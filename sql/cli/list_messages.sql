-- The $3 newest messages, of session $1 or of all, with status $2 or any. Locks nothing.
SELECT id, session, recipient, kind, status::text AS "status!", attempts, created_at, waits_for::text, run_at, last_error
FROM wa.outbound
WHERE ($1::text IS NULL OR session_id = (SELECT s.session_id FROM wa.session s WHERE s.name = $1))
  AND ($2::text IS NULL OR status = $2::wa.outbound_status)
ORDER BY id DESC
LIMIT $3

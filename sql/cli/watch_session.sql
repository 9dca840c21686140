-- How session $1 and its job $2 stand. Locks nothing.
SELECT s.status::text AS "status!", s.status_reason, s.phone, s.qr, s.qr_expires_at, j.status::text AS "job!", j.last_error
FROM wa.session s JOIN wa.session_job j ON j.id = $2 WHERE s.name = $1

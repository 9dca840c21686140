-- The $3 newest messages, of session $1 or of all, with status $2 or any. Locks nothing.
SELECT o.id, o.session, o.recipient, o.kind, o.status::text AS "status!", o.attempts, o.created_at, q.waits_for::text, q.run_at AS "run_at?", o.last_error
FROM wa.outbound o LEFT JOIN wa.outbound_queue q ON q.session_id = o.session_id AND q.chat = o.chat AND q.id = o.id
WHERE ($1::text IS NULL OR o.session_id = (SELECT s.session_id FROM wa.session s WHERE s.name = $1))
  AND ($2::text IS NULL OR o.status = $2::wa.outbound_status)
ORDER BY o.id DESC
LIMIT $3

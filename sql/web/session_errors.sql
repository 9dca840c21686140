-- The messages of a session ($1: its id) that failed last; $2 at most.
SELECT o.id, o.recipient, o.kind, o.failed_at AS "failed_at!", o.last_error, o.failure FROM wa.outbound_failed f JOIN wa.outbound o USING (id)
WHERE f.session_id = $1 ORDER BY f.failed_at DESC LIMIT $2

-- The messages of a session ($1: its id) that failed last; $2 at most.
SELECT o.id, o.recipient, o.kind, o.failed_at AS "failed_at!", o.last_error FROM wa.outbound o
WHERE o.session_id = $1 AND o.failed_at IS NOT NULL ORDER BY o.failed_at DESC LIMIT $2

-- Expires messages of any session that are past their expires_at and not claimed, at most $1. Locks those rows and the
-- rows of their sessions in wa.sending.
SELECT cardinality(wa.withdraw(ARRAY(
    SELECT o.id FROM wa.outbound o WHERE o.live AND o.expires_at <= now() ORDER BY o.expires_at LIMIT $1
), 'expired')) AS "ended!"

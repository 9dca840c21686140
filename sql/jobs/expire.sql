-- Ends messages that have outlived their expires_at and that nobody has in hand, at most $1, of whatever session. Locks
-- those rows and their sessions' rows of wa.sending.
SELECT cardinality(wa.withdraw(ARRAY(
    SELECT o.id FROM wa.outbound o WHERE o.live AND o.expires_at <= now() ORDER BY o.expires_at LIMIT $1
), 'expired')) AS "ended!"

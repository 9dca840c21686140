-- Closes sessions that should have been connected for $1 minutes and are still not linked. Returns how many. Locks the
-- sessions' rows.
SELECT count(wa.close(s.name, 'not linked within ' || $1::int4 || ' minutes')) AS "closed!"
FROM wa.session s
WHERE s.jid IS NULL AND s.desired = 'connected' AND s.wished_at < now() - $1::int4 * interval '1 minute'

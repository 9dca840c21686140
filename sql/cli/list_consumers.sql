-- Consumers, and how far behind each is. Locks nothing.
SELECT name AS "name!", session, kinds, unread AS "unread!", oldest, claimed, claimed_until, paused_at, paused_reason, tenants
FROM wa.consumers ORDER BY name

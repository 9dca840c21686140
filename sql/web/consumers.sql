-- Consumers and how far each is behind, as wa.consumers says it, but with a bounded count.
-- $1: after this id; $2: most rows; $3: most messages to count, one more tells that there are more.
SELECT c.consumer_id, c.name, s.name AS "session?", c.kinds, c.tenants, c.active_at, c.paused_at, c.paused_reason,
       cardinality(c.claimed) AS "claimed!", c.claimed_until, waiting.unread AS "unread!", first.received_at AS "oldest?"
FROM wa.consumer c
LEFT JOIN wa.session s USING (session_id)
CROSS JOIN LATERAL (
    SELECT count(*) AS unread FROM (SELECT FROM wa.unread u WHERE u.consumer_id = c.consumer_id LIMIT $3::bigint + 1) u
) waiting
LEFT JOIN LATERAL (
    SELECT i.received_at FROM wa.inbox i
    WHERE i.id = (SELECT u.inbox_id FROM wa.unread u WHERE u.consumer_id = c.consumer_id ORDER BY u.inbox_id LIMIT 1)
) first ON true
WHERE $1::bigint IS NULL OR c.consumer_id > $1
ORDER BY c.consumer_id
LIMIT $2

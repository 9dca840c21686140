-- Consumers and how far each is behind, as wa.consumers says it, but with a bounded count.
-- $1: after this id; $2: most rows; $3: most messages to count; a count of $3 + 1 means more than $3.
WITH page AS MATERIALIZED (
    SELECT * FROM wa.consumer c WHERE $1::bigint IS NULL OR c.consumer_id > $1 ORDER BY c.consumer_id LIMIT $2
)
SELECT c.consumer_id AS "consumer_id!", c.name AS "name!", (SELECT s.name FROM wa.session s WHERE s.session_id = c.session_id) AS session,
       c.kinds, c.tenants, c.active_at AS "active_at!", c.paused_at, c.paused_reason, cardinality(c.claimed) AS "claimed!", c.claimed_until,
       coalesce(cardinality(c.claimed) > 0 AND c.claimed_until > now(), false) AS "in_time!",
       (SELECT count(*) FROM (SELECT FROM wa.unread u WHERE u.consumer_id = c.consumer_id LIMIT $3::bigint + 1) u) AS "unread!",
       -- A limit keeps each a probe of an index.
       (SELECT i.received_at FROM wa.inbox i
        WHERE i.id = (SELECT u.inbox_id FROM wa.unread u WHERE u.consumer_id = c.consumer_id ORDER BY u.inbox_id LIMIT 1) LIMIT 1) AS oldest
FROM page c
ORDER BY c.consumer_id

-- Inserts deliveries for webhook $1, under epoch $2 of worker $3, of statuses that messages have had since a moment from
-- $4 to $5 and that it has none of, from one page of $7 messages after id $6. A message may be sent or read long after it was inserted,
-- so all messages are looked at. Share-locks the lease. Returns where the page ends; null after the last one.
WITH held AS (
    -- The lease, if it is still held.
    SELECT FROM wa.webhook_lease WHERE webhook_id = $1 AND epoch = $2 AND worker_id = $3 FOR SHARE
), page AS MATERIALIZED (
    -- The page.
    SELECT o.id, greatest(o.sent_at, o.delivered_at, o.read_at, o.played_at, o.failed_at, o.cancelled_at, o.expired_at) >= $4 AS is_late_enough
    FROM wa.outbound o WHERE o.id > coalesce($6::bigint, 0) ORDER BY o.id LIMIT $7
), made AS (
    -- The deliveries.
    INSERT INTO wa.delivery (webhook_id, event_id, type, source, source_id, session_id, chat, happened_at, data)
    SELECT $1, c.event_id, 'message.status', 'outbound', c.id, c.session_id, c.chat, c.at, c.data
    FROM wa.status_changes(ARRAY(SELECT id FROM page WHERE is_late_enough)) c JOIN wa.webhook w ON w.webhook_id = $1 AND wa.hears(w, c.session_id, 'message.status')
    WHERE EXISTS (SELECT FROM held) AND c.at >= $4 AND c.at < $5
    ORDER BY c.id
    ON CONFLICT (webhook_id, event_id) DO NOTHING
)
SELECT max(id) AS last FROM page HAVING count(*) = $7

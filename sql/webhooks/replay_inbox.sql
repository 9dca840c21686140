-- Inserts deliveries for webhook $1, under epoch $2 of worker $3, of messages received from $4 to $5 that it has none of,
-- from one page of $7 messages after id $6. Share-locks the lease. Returns where the page ends; null after the last one.
WITH held AS (
    -- The lease, if it is still held.
    SELECT FROM wa.webhook_lease WHERE webhook_id = $1 AND epoch = $2 AND worker_id = $3 FOR SHARE
), page AS MATERIALIZED (
    -- The page.
    SELECT i.id, i.session_id, i.chat, i.received_at FROM wa.inbox i WHERE i.id > coalesce($6, (SELECT wa.first_since('inbox', $4))) ORDER BY i.id LIMIT $7
), made AS (
    -- The deliveries.
    INSERT INTO wa.delivery (webhook_id, event_id, type, source, source_id, session_id, chat, happened_at)
    SELECT $1, 'msg_' || p.id, 'message.received', 'inbox', p.id, p.session_id, p.chat, p.received_at
    FROM page p JOIN wa.webhook w ON w.webhook_id = $1 AND wa.hears(w, p.session_id, 'message.received')
    WHERE EXISTS (SELECT FROM held) AND p.received_at >= $4 AND p.received_at < $5
    ORDER BY p.id
    ON CONFLICT (webhook_id, event_id) DO NOTHING
)
SELECT max(id) AS last FROM page HAVING count(*) = $7

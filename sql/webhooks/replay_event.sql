-- Inserts deliveries for webhook $1, under epoch $2 of worker $3, of events from $4 to $5 that it has none of, from one
-- page of $7 events after id $6. Share-locks the lease. Returns where the page ends; null after the last one.
WITH held AS (
    -- The lease, if it is still held.
    SELECT FROM wa.webhook_lease WHERE webhook_id = $1 AND epoch = $2 AND worker_id = $3 FOR SHARE
), page AS MATERIALIZED (
    -- The page.
    SELECT e.id, e.session_id, e.tenants, e.kind, e.data, e.created_at FROM wa.event e WHERE e.id > coalesce($6, (SELECT wa.first_since('event', $4))) ORDER BY e.id LIMIT $7
), made AS (
    -- The deliveries.
    INSERT INTO wa.delivery (webhook_id, event_id, type, source, source_id, session_id, chat, happened_at)
    SELECT $1, 'event_' || p.id, wa.webhook_type(p.kind), 'event', p.id, p.session_id, coalesce(p.data ->> 'chat', p.data ->> 'group', ''), p.created_at
    FROM page p JOIN wa.webhook w ON w.webhook_id = $1 AND wa.hears(w, p.session_id, wa.webhook_type(p.kind), p.tenants)
    WHERE EXISTS (SELECT FROM held) AND p.created_at >= $4 AND p.created_at < $5
    ORDER BY p.id
    ON CONFLICT (webhook_id, event_id) DO NOTHING
)
SELECT max(id) AS last FROM page HAVING count(*) = $7

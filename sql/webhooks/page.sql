-- The next deliveries of webhook $1, with what their bodies are made of: at most $4 that are new, with ids above $2, and
-- at most $5 that are due again. Leaves out $3, which are in hand. A request that was shared comes whole, so there may be
-- more: is_fresh and is_due name those that the limits count. Locks nothing.
WITH fresh AS (
    -- New ones, in their order.
    SELECT d.id, d.batch FROM wa.delivery d
    WHERE d.webhook_id = $1 AND d.status = 'queued' AND d.attempts = 0 AND d.id > $2 AND d.id <> ALL ($3::bigint[])
    ORDER BY d.id LIMIT $4
), due AS (
    -- Those that are due again.
    SELECT d.id, d.batch FROM wa.delivery d
    WHERE d.webhook_id = $1 AND d.status = 'queued' AND d.attempts > 0 AND d.run_at <= now() AND d.id <> ALL ($3::bigint[])
    ORDER BY d.run_at, d.id LIMIT $5
), page AS (
    -- And those that share their requests.
    SELECT id FROM fresh UNION SELECT id FROM due
    UNION
    SELECT d.id FROM wa.delivery d
    WHERE d.webhook_id = $1 AND d.status = 'queued' AND d.batch IS NOT NULL AND d.id <> ALL ($3::bigint[])
      AND d.batch IN (SELECT batch FROM fresh UNION ALL SELECT batch FROM due)
)
SELECT d.id, EXISTS (SELECT FROM fresh f WHERE f.id = d.id) AS "is_fresh!", EXISTS (SELECT FROM due u WHERE u.id = d.id) AS "is_due!",
       d.event_id, d.type AS kind, d.session_id, d.chat, d.happened_at, d.attempts, d.batch, s.name AS "session?",
       -- A session may have gone to another tenant meanwhile. An event without one may be of tenants; one that is deleted is gone.
       d.source = 'test' OR w.tenants IS NULL OR coalesce(s.tenant = ANY (w.tenants), false)
           OR d.source = 'event' AND d.session_id IS NULL
              AND coalesce((SELECT coalesce(e.tenants <@ w.tenants, false) FROM wa.event e WHERE e.id = d.source_id), true) AS "allowed!",
       -- Null when the row is gone. Long texts are cut here, so that no page takes much memory.
       CASE d.source
           WHEN 'test' THEN d.data
           WHEN 'event' THEN (
               SELECT CASE WHEN pg_column_size(e.data) < 30000 THEN jsonb_build_object('event_id', e.id) || e.data
                           ELSE jsonb_build_object('event_id', e.id, 'truncated', '["data"]'::jsonb)
                                || jsonb_strip_nulls(jsonb_build_object('chat', left(e.data ->> 'chat', 100), 'group', left(e.data ->> 'group', 100),
                                                                        'message_id', left(e.data ->> 'message_id', 100))) END
               FROM wa.event e WHERE e.id = d.source_id)
           WHEN 'outbound' THEN (
               SELECT jsonb_strip_nulls(jsonb_build_object('outbound_id', o.id, 'message_id', o.message_id, 'chat', o.chat, 'kind', o.kind, 'campaign', o.campaign, 'dedupe_key', o.dedupe_key)) || d.data
               FROM wa.outbound o WHERE o.id = d.source_id AND o.session_id = d.session_id)
           ELSE (
               SELECT jsonb_strip_nulls(jsonb_build_object(
                   'inbox_id', i.id, 'message_id', i.message_id, 'chat', i.chat, 'sender', i.sender, 'name', left(i.push_name, 200), 'from_me', i.from_me, 'kind', i.kind,
                   'body', left(i.body, 8000), 'sent_at', i.sent_at, 'received_at', i.received_at, 'quoted_id', i.quoted_id, 'target_id', i.target_id,
                   'choices', i.choices, 'author_matches', i.author_matches, 'by_admin', i.by_admin, 'media', i.media, 'media_id', i.media_id,
                   'truncated', CASE WHEN length(i.body) > 8000 THEN '["body"]'::jsonb END))
               FROM wa.inbox i WHERE i.id = d.source_id AND i.session_id = d.session_id)
       END AS "content?",
       -- By itself and as text: one that cannot be read (R10) costs this one delivery its message, and not the page.
       CASE WHEN d.source = 'inbox' THEN (
           SELECT i.message::text FROM wa.inbox i
           WHERE i.id = d.source_id AND i.session_id = d.session_id AND pg_column_size(i.message) < 10000 AND octet_length(i.message::text) < 10000)
       END AS message
FROM page JOIN wa.delivery d USING (id)
JOIN wa.webhook w ON w.webhook_id = d.webhook_id
LEFT JOIN wa.session s ON s.session_id = d.session_id
ORDER BY d.id

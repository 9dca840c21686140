-- A page of a chat, newest first, as wa.history has it. Each table gives its own page in the order of its index: with two
-- keys the view would read and sort the whole chat. $1: session; $2: chat; $3 and $4: before this moment and message; $5: most rows.
SELECT h.sent_at AS "sent_at!", h.from_me AS "from_me!", h.sender AS "sender?", h.message_id AS "message_id!", h.kind AS "kind!",
       h.body AS "body?", h.status AS "status?", h.push_name AS "push_name?", h.media ->> 'file_name' AS "file_name?",
       h.media ->> 'mime' AS "mime?", h.media ->> 'size' AS "size?"
FROM (
    (SELECT o.sent_at, true AS from_me, NULL AS sender, o.message_id, o.kind, o.body, o.status::text AS status,
            NULL AS push_name, NULL::jsonb AS media
     FROM wa.outbound o
     WHERE o.session_id = $1 AND o.chat = $2 AND o.sent_at IS NOT NULL AND o.kind NOT IN ('read', 'chat_state')
       AND o.sent_at <= coalesce($3::timestamptz, 'infinity') AND ($3 IS NULL OR o.sent_at < $3 OR o.message_id < $4::text)
     ORDER BY o.sent_at DESC, o.message_id DESC LIMIT $5)
    UNION ALL
    (SELECT i.sent_at, i.from_me, i.sender, i.message_id, i.kind, i.body, NULL, i.push_name, i.media
     FROM wa.inbox i
     WHERE i.session_id = $1 AND i.chat = $2 AND (i.author_matches IS NOT FALSE OR i.by_admin)
       AND i.sent_at <= coalesce($3::timestamptz, 'infinity') AND ($3 IS NULL OR i.sent_at < $3 OR i.message_id < $4::text)
     ORDER BY i.sent_at DESC, i.message_id DESC LIMIT $5)
    UNION ALL
    (SELECT p.sent_at, p.from_me, p.sender, p.message_id, p.kind, p.body, NULL, p.push_name, NULL
     FROM wa.past p
     WHERE p.session_id = $1 AND p.chat = $2
       AND p.sent_at <= coalesce($3::timestamptz, 'infinity') AND ($3 IS NULL OR p.sent_at < $3 OR p.message_id < $4::text)
     ORDER BY p.sent_at DESC, p.message_id DESC LIMIT $5)
) h
ORDER BY h.sent_at DESC, h.message_id DESC
LIMIT $5

-- A page of a chat, newest first. $1: session; $2: chat; $3 and $4: before this moment and message; $5: most rows.
SELECT h.sent_at AS "sent_at!", h.from_me AS "from_me!", h.sender, h.message_id AS "message_id!", h.kind AS "kind!", h.body,
       h.status::text AS status, i.push_name AS "push_name?", i.media->>'file_name' AS "file_name?",
       i.media->>'mime' AS "mime?", i.media->>'size' AS "size?"
FROM (
    SELECT * FROM wa.history h
    WHERE h.session_id = $1 AND h.chat = $2 AND h.sent_at <= coalesce($3::timestamptz, 'infinity')
      AND ($3 IS NULL OR h.sent_at < $3 OR h.message_id < $4::text)
    ORDER BY h.sent_at DESC, h.message_id DESC LIMIT $5
) h
LEFT JOIN wa.inbox i ON i.session_id = $1 AND i.id = h.inbox_id
ORDER BY h.sent_at DESC, h.message_id DESC

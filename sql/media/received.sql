-- Message $2 of session $1 in wa.inbox, and its file, if it is kept. Locks nothing.
SELECT i.chat, i.sender, i.message_id, i.from_me, i.message, i.media IS NOT NULL AS "has_media!",
       m.media_id AS "media_id?", m.mime, m.size AS "size?", s.tenant
FROM wa.inbox i JOIN wa.session s USING (session_id) LEFT JOIN wa.media m USING (media_id)
WHERE i.session_id = $1 AND i.id = $2

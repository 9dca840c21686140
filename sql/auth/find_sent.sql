-- Message $2 that session $1 sent to one of the chats $3 (one chat has several names), with the upload that names its
-- file on WhatsApp's servers, the session's own names, and when it was queued, in seconds since 1970. Locks nothing.
SELECT o.kind, o.body, o.content, u.message AS "uploaded?", s.jid, s.lid,
       extract(epoch FROM o.created_at)::int8 AS "at!"
FROM wa.outbound o JOIN wa.session s USING (session_id) LEFT JOIN wa.upload u ON u.session_id = o.session_id AND u.upload_id = o.upload_id
WHERE o.id = wa.outbound_id($1, $2) AND o.chat = ANY ($3::text[])

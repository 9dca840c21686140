-- Message $2 that session $1 sent to the chat that is called one of $3, with what names its file on WhatsApp's servers. Locks nothing.
SELECT o.kind, o.body, o.content, u.message AS "uploaded?"
FROM wa.outbound o LEFT JOIN wa.upload u ON u.session_id = o.session_id AND u.upload_id = o.upload_id
WHERE o.session_id = $1 AND o.message_id = $2 AND o.chat = ANY ($3::text[])

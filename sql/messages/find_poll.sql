-- Polls $2 of the chat with the names $3 of session $1, sent (content) or received (message), and their creators; a
-- null creator is the session itself. Locks nothing.
SELECT NULL::text AS creator, o.content, NULL::jsonb AS message
FROM wa.outbound o WHERE o.id = wa.outbound_id($1, $2) AND o.chat = ANY ($3::text[]) AND o.kind = 'poll'
UNION ALL
SELECT CASE WHEN NOT i.from_me THEN i.sender END, NULL, i.message
FROM wa.inbox i WHERE i.session_id = $1 AND i.chat = ANY ($3::text[]) AND i.message_id = $2 AND i.kind = 'poll'

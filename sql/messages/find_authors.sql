-- Who wrote the messages $3 of the chat with the names $2 of session $1, sent or received; null is the session itself.
-- Ids of messages are unique for their author only. Locks nothing.
SELECT NULL::text AS author FROM wa.outbound o
WHERE o.id = wa.outbound_id($1, $3) AND o.chat = ANY ($2::text[])
UNION
SELECT CASE WHEN NOT i.from_me THEN i.sender END FROM wa.inbox i
WHERE i.session_id = $1 AND i.chat = ANY ($2::text[]) AND i.message_id = $3
UNION
SELECT CASE WHEN NOT p.from_me THEN p.sender END FROM wa.past p
WHERE p.session_id = $1 AND p.chat = ANY ($2::text[]) AND p.message_id = $3

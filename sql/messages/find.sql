-- Message $3 of the chat $2 of session $1, sent or received. A null sender is the session itself. Locks nothing.
SELECT sender, received AS "received!", kind AS "kind!", body, content, message
FROM (
    SELECT NULL AS sender, false AS received, o.kind, o.body, o.content, u.message
    FROM wa.outbound o LEFT JOIN wa.upload u ON u.session_id = o.session_id AND u.upload_id = o.upload_id
    WHERE o.id = wa.outbound_id($1, $3) AND o.chat = $2
    UNION ALL
    SELECT CASE WHEN NOT i.from_me THEN i.sender END, true, i.kind, i.body, NULL, i.message
    FROM wa.inbox i WHERE i.session_id = $1 AND i.chat = $2 AND i.message_id = $3
    UNION ALL
    SELECT CASE WHEN NOT p.from_me THEN p.sender END, true, p.kind, p.body, NULL, p.message
    FROM wa.past p WHERE p.session_id = $1 AND p.chat = $2 AND p.message_id = $3
) found
ORDER BY received LIMIT 1

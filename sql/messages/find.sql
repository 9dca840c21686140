-- Message $3 of the chat $2 of session $1, sent or received. No sender: one of ours. Locks nothing.
SELECT sender, kind AS "kind!", body, content, message
FROM (
    SELECT 1 AS place, NULL AS sender, o.kind, o.body, o.content, NULL::jsonb AS message
    FROM wa.outbound o WHERE o.session_id = $1 AND o.message_id = $3 AND o.chat = $2
    UNION ALL
    SELECT 2, CASE WHEN NOT i.from_me THEN i.sender END, i.kind, i.body, NULL, i.message
    FROM wa.inbox i WHERE i.session_id = $1 AND i.chat = $2 AND i.message_id = $3
) found
ORDER BY place LIMIT 1

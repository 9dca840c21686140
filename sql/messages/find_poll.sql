-- Poll $2 of session $1, sent or received: its options, its secret, and its creator; a null creator is the session
-- itself. Locks nothing.
SELECT ARRAY(SELECT jsonb_array_elements_text(o.content -> 'options')) AS "options!", o.content #>> '{secret,data}' AS "secret!", NULL AS creator
FROM wa.outbound o WHERE o.session_id = $1 AND o.message_id = $2 AND o.kind = 'poll'
UNION ALL
SELECT ARRAY(SELECT option ->> 'option_name' FROM jsonb_array_elements(coalesce(i.message #> '{poll_creation_message,options}',
           i.message #> '{poll_creation_message_v2,options}', i.message #> '{poll_creation_message_v3,options}')) option),
       i.message #>> '{message_context_info,message_secret,data}', i.sender
FROM wa.inbox i
WHERE i.session_id = $1 AND i.message_id = $2 AND i.kind = 'poll' AND i.message #>> '{message_context_info,message_secret,data}' IS NOT NULL
LIMIT 1

-- The last message of each of these chats, of what was sent among the last twenty rows; and the name that its contact has given itself. $1: session; $2: chats.
SELECT c.chat AS "chat!", last.sent_at AS "sent_at?", last.from_me AS "from_me?", last.kind AS "kind?",
       left(last.body, 200) AS "body?", named.push_name AS "push_name?"
FROM unnest($2::text[]) WITH ORDINALITY AS c (chat, place)
LEFT JOIN LATERAL (
    SELECT * FROM (
        (SELECT n.sent_at, true AS from_me, n.kind, n.body, n.sent_at AS at FROM (
             SELECT o.* FROM wa.outbound o WHERE o.session_id = $1 AND o.chat = c.chat ORDER BY o.id DESC LIMIT 20) n
         WHERE n.sent_at IS NOT NULL AND n.kind NOT IN ('read', 'chat_state')
         ORDER BY n.sent_at DESC, n.id DESC LIMIT 1)
        UNION ALL
        -- With the moment of wa.history.
        (SELECT i.sent_at, i.from_me, i.kind, i.body, greatest(i.sent_at, least(i.received_at, i.sent_at + interval '999999 microseconds'))
         FROM wa.inbox i
         WHERE i.session_id = $1 AND i.chat = c.chat ORDER BY i.sent_at DESC, 5 DESC, i.id DESC LIMIT 1)
        UNION ALL
        (SELECT p.sent_at, p.from_me, p.kind, p.body, p.sent_at FROM wa.past p
         WHERE p.session_id = $1 AND p.chat = c.chat ORDER BY p.sent_at DESC, p.id DESC LIMIT 1)
    ) one ORDER BY one.at DESC LIMIT 1
) last ON true
LEFT JOIN LATERAL (
    SELECT i.push_name FROM (
        SELECT n.push_name, n.from_me FROM wa.inbox n
        WHERE n.session_id = $1 AND n.chat = c.chat ORDER BY n.sent_at DESC LIMIT 20
    ) i WHERE NOT i.from_me AND i.push_name <> '' AND c.chat NOT LIKE '%@g.us' LIMIT 1
) named ON true
ORDER BY c.place

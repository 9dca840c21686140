-- All chats of a session by their JID: one probe of an index for each. $1: session; $2: after this JID; $3: most chats.
WITH RECURSIVE chats (chat, place) AS (
    SELECT coalesce($2::text, ''), 0
    UNION ALL
    SELECT least(
               (SELECT i.chat FROM wa.inbox i WHERE i.session_id = $1 AND i.chat > c.chat ORDER BY i.chat LIMIT 1),
               (SELECT o.chat FROM wa.outbound o
                WHERE o.session_id = $1 AND o.chat > c.chat AND o.sent_at IS NOT NULL ORDER BY o.chat LIMIT 1),
               (SELECT p.chat FROM wa.past p WHERE p.session_id = $1 AND p.chat > c.chat ORDER BY p.chat LIMIT 1)),
           c.place + 1
    FROM chats c WHERE c.chat IS NOT NULL AND c.place < $3::bigint
)
SELECT c.chat AS "chat!" FROM chats c WHERE c.place > 0 AND c.chat IS NOT NULL ORDER BY c.place

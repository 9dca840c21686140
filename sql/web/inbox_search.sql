-- Messages with these words, newest first, among so many that the answer is quick with any number of messages: of a session the last
-- 2 * $5 that it received, of a chat the last $5 received, the last $5 sent and the last $5 of its past. Of each text the first 1,000
-- characters are looked at. $1: words; $2: session; $3: chat, or null; $4: most rows.
WITH own AS MATERIALIZED (
    SELECT s.session_id FROM wa.session s WHERE s.name = $2
), recent AS (
    (SELECT i.chat, i.sent_at, i.from_me, i.message_id, i.body FROM wa.inbox i
     WHERE $3::text IS NULL AND i.session_id = (SELECT session_id FROM own) ORDER BY i.session_id, i.id DESC LIMIT 2 * $5::bigint)
    UNION ALL
    (SELECT i.chat, i.sent_at, i.from_me, i.message_id, i.body FROM wa.inbox i
     WHERE i.session_id = (SELECT session_id FROM own) AND i.chat = $3 ORDER BY i.sent_at DESC LIMIT $5)
    UNION ALL
    (SELECT o.chat, o.sent_at, true, o.message_id, o.body FROM wa.outbound o
     WHERE o.session_id = (SELECT session_id FROM own) AND o.chat = $3 AND o.sent_at IS NOT NULL ORDER BY o.id DESC LIMIT $5)
    UNION ALL
    (SELECT p.chat, p.sent_at, p.from_me, p.message_id, p.body FROM wa.past p
     WHERE p.session_id = (SELECT session_id FROM own) AND p.chat = $3 ORDER BY p.sent_at DESC LIMIT $5)
)
SELECT r.chat AS "chat!", r.sent_at AS "sent_at!", r.from_me AS "from_me!", r.message_id AS "message_id!", left(r.body, 300) AS body
FROM recent r
WHERE to_tsvector('simple', left(r.body, 1000)) @@ websearch_to_tsquery('simple', $1)
ORDER BY r.sent_at DESC
LIMIT $4

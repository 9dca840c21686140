-- Chats of a session in which something was received, by their last message, newest first. They are looked for among the
-- last messages and among the first chats, each by an index; so all are found of a session with fewer chats than $4, and
-- of any other those in which something was received lately. Of what was sent to a chat the last eight rows count. $1: session; $2 and $3: before this moment and chat;
-- $4: among so many; $5: most chats.
WITH RECURSIVE first (chat, place) AS (
    SELECT '', 0
    UNION ALL
    SELECT (SELECT i.chat FROM wa.inbox i WHERE i.session_id = $1 AND i.chat > f.chat ORDER BY i.chat LIMIT 1), f.place + 1
    FROM first f WHERE f.chat IS NOT NULL AND f.place < $4::bigint
), chats AS MATERIALIZED (
    SELECT f.chat FROM first f WHERE f.place > 0 AND f.chat IS NOT NULL
    UNION
    SELECT r.chat FROM (SELECT i.chat FROM wa.inbox i WHERE i.session_id = $1 ORDER BY i.id DESC LIMIT $4) r
), dated AS MATERIALIZED (
    SELECT c.chat, greatest(
        (SELECT i.sent_at FROM wa.inbox i WHERE i.session_id = $1 AND i.chat = c.chat ORDER BY i.sent_at DESC LIMIT 1),
        (SELECT max(n.sent_at) FROM (
            SELECT o.sent_at FROM wa.outbound o WHERE o.session_id = $1 AND o.chat = c.chat ORDER BY o.id DESC LIMIT 8) n)) AS at
    FROM chats c
)
SELECT d.chat AS "chat!", d.at AS "at!" FROM dated d
WHERE $2::timestamptz IS NULL OR d.at < $2 OR d.at = $2 AND d.chat > $3::text
ORDER BY d.at DESC, d.chat
LIMIT $5

-- Chats of a session by their last received message, newest first, among the last messages alone. One row without a chat
-- when those have none that an earlier page did not show. $1: session; $2: before this message; $3: among so many
-- messages; $4: most chats.
WITH recent AS MATERIALIZED (
    SELECT i.id, i.chat FROM wa.inbox i
    WHERE i.session_id = $1 AND i.id < coalesce($2::bigint, 9223372036854775807) ORDER BY i.id DESC LIMIT $3
), chats AS (
    SELECT r.chat, max(r.id) AS newest FROM recent r GROUP BY r.chat
)
SELECT page.chat AS "chat?", page.newest AS "newest?", read.many AS "many!", read.first AS "first?"
FROM (SELECT count(*) AS many, min(r.id) AS first FROM recent r) read
LEFT JOIN (
    SELECT c.chat, c.newest FROM chats c
    WHERE $2 IS NULL
       OR (SELECT i.id FROM wa.inbox i WHERE i.session_id = $1 AND i.chat = c.chat ORDER BY i.sent_at DESC LIMIT 1) < $2
    ORDER BY c.newest DESC LIMIT $4
) page ON true
ORDER BY page.newest DESC

-- What the first $2 waiting messages of a session ($1: its id) wait for; the rest is not counted. Each part reads its own
-- index in its order: messages that can go, messages that wait for a moment, and all of them.
WITH ready AS (
    SELECT count(*) AS messages FROM (
        SELECT FROM wa.outbound_queue o WHERE o.session_id = $1 AND o.waits_for IS NULL LIMIT $2) few
), waiting AS MATERIALIZED (
    SELECT few.waits_for, count(*) AS messages FROM (
        SELECT o.waits_for FROM wa.outbound_queue o
        WHERE o.session_id = $1 AND o.waits_for IS NOT NULL AND o.waits_for <> 'paused' ORDER BY o.run_at LIMIT $2) few
    GROUP BY few.waits_for
), queued AS (
    SELECT count(*) AS messages FROM (
        SELECT FROM wa.outbound_queue o WHERE o.session_id = $1 ORDER BY o.chat, o.id LIMIT $2) few
)
SELECT 'queued' AS "reason!", messages AS "messages!" FROM queued
UNION ALL SELECT 'ready', messages FROM ready
UNION ALL SELECT waits_for::text, messages FROM waiting
-- Of paused campaigns the rest, if everything was counted.
UNION ALL SELECT 'paused', q.messages - r.messages - w.messages
FROM queued q, ready r, (SELECT coalesce(sum(messages), 0)::bigint AS messages FROM waiting) w
WHERE q.messages < $2 AND q.messages > r.messages + w.messages

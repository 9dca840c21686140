-- A page of the chats with waiting messages, each with its head: the message that the others of the chat wait behind, which is
-- the oldest one that is neither for later nor held. Of the session $1, or of all; after the session $2 and the chat $3;
-- $4 at most. One step through the index finds each next chat, however many messages it has.
WITH RECURSIVE sessions AS MATERIALIZED (
    SELECT s.session_id, s.name
    FROM wa.session s
    CROSS JOIN LATERAL (SELECT FROM wa.outbound_queue o WHERE o.session_id = s.session_id ORDER BY o.chat, o.id LIMIT 1) live
    WHERE ($1::text IS NULL OR s.name = $1) AND ($2::text IS NULL OR s.name >= $2)
    ORDER BY s.name LIMIT $4
), walk AS (
    SELECT 1 AS at, (SELECT array_agg(name ORDER BY name) FROM sessions) AS names,
           (SELECT array_agg(session_id ORDER BY name) FROM sessions) AS ids,
           CASE WHEN $2::text = (SELECT min(name) FROM sessions) THEN $3::text ELSE '' END COLLATE "C" AS chat, 0 AS found
    UNION ALL
    -- The next chat of the session; without one, the next session.
    SELECT CASE WHEN next.chat IS NULL THEN w.at + 1 ELSE w.at END, w.names, w.ids, coalesce(next.chat, ''),
           w.found + (next.chat IS NOT NULL)::int
    FROM walk w
    LEFT JOIN LATERAL (
        SELECT o.chat FROM wa.outbound_queue o WHERE o.session_id = w.ids[w.at] AND o.chat > w.chat
        ORDER BY o.chat, o.id LIMIT 1) next ON true
    WHERE w.found < $4 AND w.at <= cardinality(w.ids)
), lanes AS MATERIALIZED (
    SELECT w.ids[w.at] AS session_id, w.names[w.at] AS session, w.chat FROM walk w WHERE w.chat <> '' AND w.found > 0
)
SELECT l.session AS "session!", l.chat AS "chat!", head.id AS "id!", o.recipient AS "recipient!", o.kind AS "kind!",
       o.status::text AS "status!", head.waits_for::text AS waits_for, head.run_at AS "run_at?", o.created_at AS "created_at!",
       o.attempts AS "attempts!", o.last_error, head.campaign, c.paused_at AS "paused_at?", c.paused_by::text AS "paused_by?",
       coalesce(head.id = ANY (b.taken), false) AS "taken!", behind.messages AS "behind!"
FROM lanes l
CROSS JOIN LATERAL (
    SELECT few.* FROM (
        SELECT o.* FROM wa.outbound_queue o WHERE o.session_id = l.session_id AND o.chat = l.chat ORDER BY o.chat, o.id LIMIT 10) few
    ORDER BY coalesce(few.waits_for IN ('scheduled', 'paused'), false), few.id LIMIT 1) head
JOIN wa.outbound o ON o.id = head.id
CROSS JOIN LATERAL (
    SELECT count(*) AS messages FROM (
        SELECT FROM wa.outbound_queue o WHERE o.session_id = l.session_id AND o.chat = l.chat AND o.id > head.id
        ORDER BY o.chat, o.id LIMIT 100) few) behind
LEFT JOIN wa.sending b ON b.session_id = l.session_id
LEFT JOIN wa.campaign c ON head.waits_for = 'paused' AND c.session_id = l.session_id AND c.campaign = head.campaign
ORDER BY l.session, l.chat

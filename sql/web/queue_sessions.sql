-- A page of the sessions that have messages waiting, by name: after the name $1, $2 at most. Counts end at $3::bigint + 1, so that
-- a campaign of a million messages costs no more than a small one; each reads its own index alone. One look-up in an index for
-- each session that is passed.
WITH page AS MATERIALIZED (
    SELECT s.session_id, s.name, s.tenant, s.status, s.paused_at
    FROM wa.session s
    CROSS JOIN LATERAL (SELECT FROM wa.outbound_queue o WHERE o.session_id = s.session_id ORDER BY o.chat, o.id LIMIT 1) live
    WHERE ($1::text IS NULL OR s.name > $1)
    ORDER BY s.name LIMIT $2
)
SELECT p.name AS "name!", p.tenant AS "tenant!", wa.status_now(p.session_id, p.status) AS "status!", p.paused_at, queued.messages AS "queued!", ready.messages AS "ready!",
       waiting.messages AS "waiting!", next.run_at AS "next_at?", r.reasons, coalesce(r.stuck, false) AS "stuck!"
FROM page p
LEFT JOIN wa.reasons(ARRAY(SELECT name FROM page)) r ON r.session = p.name
CROSS JOIN LATERAL (
    SELECT count(*) AS messages
    -- No order: for the priority, the rows would be read.
    FROM (SELECT FROM wa.outbound_queue o WHERE o.session_id = p.session_id AND o.waits_for IS NULL LIMIT $3::bigint + 1) few) ready
CROSS JOIN LATERAL (
    SELECT CASE WHEN ready.messages > $3 THEN ready.messages ELSE (
        SELECT count(*)
        FROM (SELECT FROM wa.outbound_queue o WHERE o.session_id = p.session_id ORDER BY o.chat, o.id LIMIT $3::bigint + 1) few) END AS messages) queued
CROSS JOIN LATERAL (
    SELECT count(*) AS messages
    FROM (SELECT FROM wa.outbound_queue o WHERE o.session_id = p.session_id AND o.waits_for IS NOT NULL AND o.waits_for <> 'paused'
          ORDER BY o.run_at LIMIT $3::bigint + 1) few) waiting
LEFT JOIN LATERAL (
    SELECT o.run_at FROM wa.outbound_queue o
    WHERE o.session_id = p.session_id AND o.waits_for IS NOT NULL AND o.waits_for <> 'paused'
    ORDER BY o.run_at LIMIT 1) next ON true
ORDER BY p.name

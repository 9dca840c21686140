-- Messages of a chat that wait, and those that failed lately. $1: session; $2: chat.
(SELECT o.id AS "id!", o.created_at AS "at!", o.kind AS "kind!", left(o.body, 4096) AS body, o.status::text AS "status!", o.last_error
 FROM wa.outbound o
 WHERE o.session_id = $1 AND o.chat = $2 AND o.live AND o.kind NOT IN ('read', 'chat_state') ORDER BY o.id LIMIT 20)
UNION ALL
(SELECT f.id, f.created_at, f.kind, left(f.body, 4096), f.status::text, f.last_error
 FROM (SELECT * FROM wa.outbound o WHERE o.session_id = $1 AND o.failed_at IS NOT NULL ORDER BY o.failed_at DESC LIMIT 200) f
 WHERE f.chat = $2 AND f.kind NOT IN ('read', 'chat_state') LIMIT 5)
ORDER BY 1

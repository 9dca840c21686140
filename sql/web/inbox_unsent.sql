-- Messages of a chat that wait, and those that failed lately. $1: session; $2: chat.
(SELECT o.id AS "id!", o.created_at AS "at!", o.kind AS "kind!", left(o.body, 4096) AS body, o.status::text AS "status!", o.last_error
 FROM wa.outbound_queue q JOIN wa.outbound o ON o.id = q.id
 WHERE q.session_id = $1 AND q.chat = $2 AND o.kind NOT IN ('read', 'chat_state') ORDER BY q.chat, q.id LIMIT 20)
UNION ALL
(SELECT f.id, f.created_at, f.kind, left(f.body, 4096), f.status::text, f.last_error
 FROM (SELECT o.* FROM wa.outbound_failed l JOIN wa.outbound o USING (id) WHERE l.session_id = $1 ORDER BY l.failed_at DESC LIMIT 200) f
 WHERE f.chat = $2 AND f.kind NOT IN ('read', 'chat_state') LIMIT 5)
ORDER BY 1

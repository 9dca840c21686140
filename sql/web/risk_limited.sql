-- Sessions whose account WhatsApp lets start no new chats, the latest end first; $1 at most.
SELECT s.name AS "name!", s.tenant AS "tenant!", wa.status_now(s.session_id, s.status) AS "status!", s.limit_reason AS "limit_reason!", s.limited_until, s.paused_at
FROM wa.session s
WHERE s.limit_reason IS NOT NULL AND coalesce(s.limited_until > now(), true)
ORDER BY s.limited_until DESC NULLS FIRST, s.name LIMIT $1

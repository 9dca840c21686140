-- Sessions whose account WhatsApp lets start no new chats, the latest end first; $1 at most.
SELECT s.name AS "name!", s.tenant AS "tenant!", wa.status_now(s.session_id, s.status) AS "status!", s.limit_reason AS "limit_reason!", s.limited_until, s.paused_at,
       p.per_minute AS "per_minute?", p.jitter::text AS "jitter?", p.first_contacts AS "first_contacts?"
FROM wa.session s
LEFT JOIN wa.pacing p USING (session_id)
WHERE s.limit_reason IS NOT NULL AND coalesce(s.limited_until > now(), true)
ORDER BY s.limited_until DESC NULLS FIRST, s.name LIMIT $1

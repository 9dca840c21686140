-- Deliveries of webhook $1 that wait behind another one of their chat. $2: most rows.
SELECT d.id, d.event_id, d.type, d.status, d.attempts, d.code, d.last_error, d.response, d.source, d.source_id, d.happened_at, d.run_at, d.attempted_at
FROM wa.delivery d
WHERE d.webhook_id = $1 AND d.status = 'waiting'
ORDER BY d.session_id, d.chat, d.id
LIMIT $2

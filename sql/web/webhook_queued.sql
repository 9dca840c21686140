-- New deliveries of webhook $1, the next first. $2: most rows.
SELECT d.id, d.event_id, d.type, d.status, d.attempts, d.code, d.last_error, d.response, d.source, d.source_id, d.happened_at, d.run_at, d.attempted_at
FROM wa.delivery d
WHERE d.webhook_id = $1 AND d.status = 'queued' AND d.attempts = 0
ORDER BY d.id
LIMIT $2

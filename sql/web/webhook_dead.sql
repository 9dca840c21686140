-- Dead deliveries of webhook $1, the latest event first. $2: before this id; $3: most rows.
SELECT d.id, d.event_id, d.type, d.status, d.attempts, d.code, d.last_error, d.response, d.source, d.source_id, d.happened_at, d.run_at, d.attempted_at
FROM wa.delivery d
WHERE d.webhook_id = $1 AND d.status = 'dead' AND ($2::bigint IS NULL OR d.id < $2)
ORDER BY d.id DESC
LIMIT $3

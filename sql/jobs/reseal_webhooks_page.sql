-- A page of $2 secrets of webhooks after secret_id $1. Locks nothing.
SELECT secret_id, webhook_id, value FROM wa.webhook_secret WHERE secret_id > $1 ORDER BY secret_id LIMIT $2

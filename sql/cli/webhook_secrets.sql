-- The secrets of the webhook named $1. Locks nothing.
SELECT s.webhook_id, s.secret_id, s.value FROM wa.webhook_secret s WHERE s.webhook_id = (SELECT wa.webhook_id($1)) ORDER BY s.secret_id

-- Queues at most $6 deliveries of webhook $1, under epoch $2 of worker $3, that wait in the chat $5 of session $4, oldest
-- first. Share-locks the lease; locks the deliveries. Returns how many.
WITH held AS (
    -- The lease, if it is still held.
    SELECT FROM wa.webhook_lease WHERE webhook_id = $1 AND epoch = $2 AND worker_id = $3 FOR SHARE
), changed AS (
    -- The deliveries.
    UPDATE wa.delivery d SET status = 'queued'
    WHERE EXISTS (SELECT FROM held) AND d.id IN (
        SELECT w.id FROM wa.delivery w
        WHERE w.webhook_id = $1 AND w.status = 'waiting' AND w.chat = $5 AND w.session_id IS NOT DISTINCT FROM $4::bigint
        ORDER BY w.id LIMIT $6)
    RETURNING 1
)
SELECT count(*) AS "count!" FROM changed

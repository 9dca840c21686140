-- Queues at most $4 deliveries of webhook $1, under epoch $2 of worker $3, that wait for none: nothing of their chat is
-- tried again. Share-locks the lease; locks the deliveries. Returns how many.
WITH held AS (
    -- The lease, if it is still held.
    SELECT FROM wa.webhook_lease WHERE webhook_id = $1 AND epoch = $2 AND worker_id = $3 FOR SHARE
), lane AS MATERIALIZED (
    -- The chats in which something waits.
    SELECT DISTINCT w.session_id, w.chat FROM wa.delivery w WHERE w.webhook_id = $1 AND w.status = 'waiting'
), lost AS MATERIALIZED (
    -- Those in which it waits for nothing.
    SELECT l.session_id, l.chat FROM lane l
    WHERE NOT EXISTS (
        SELECT FROM wa.delivery d
        WHERE d.webhook_id = $1 AND d.status = 'queued' AND (d.attempts > 0 OR d.batch IS NOT NULL)
          AND d.chat = l.chat AND d.session_id IS NOT DISTINCT FROM l.session_id)
), changed AS (
    -- The deliveries.
    UPDATE wa.delivery d SET status = 'queued'
    WHERE EXISTS (SELECT FROM held) AND d.id IN (
        SELECT w.id FROM wa.delivery w JOIN lost l ON l.chat = w.chat AND l.session_id IS NOT DISTINCT FROM w.session_id
        WHERE w.webhook_id = $1 AND w.status = 'waiting'
        ORDER BY w.id LIMIT $4)
    RETURNING 1
)
SELECT count(*) AS "count!" FROM changed

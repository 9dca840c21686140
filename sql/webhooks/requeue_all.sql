-- Queues at most $6 of the deliveries of webhook $1, under epoch $2 of worker $3, that wait for others of their chat: those
-- after $4 (chat) and $5 (id), in the order of the index. Share-locks the lease; locks the deliveries. Returns the last of
-- them; none when there are no more.
WITH held AS (
    -- The lease, if it is still held.
    SELECT FROM wa.webhook_lease WHERE webhook_id = $1 AND epoch = $2 AND worker_id = $3 FOR SHARE
), page AS MATERIALIZED (
    SELECT w.id, w.chat FROM wa.delivery w
    WHERE w.webhook_id = $1 AND w.status = 'waiting' AND (w.chat, w.id) > ($4::text, $5::bigint)
    ORDER BY w.chat, w.id LIMIT $6
), changed AS (
    UPDATE wa.delivery d SET status = 'queued' FROM page WHERE EXISTS (SELECT FROM held) AND d.id = page.id AND d.status = 'waiting'
)
SELECT id, chat FROM page ORDER BY chat DESC, id DESC LIMIT 1

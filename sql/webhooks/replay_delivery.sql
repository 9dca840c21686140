-- Queues deliveries of webhook $1 again, under epoch $2 of worker $3, that have ended and happened from $4 to $5, of one
-- page of $8 deliveries after id $7; with $6 only dead ones. Share-locks the lease; locks the deliveries. Returns where
-- the page ends; null after the last one.
WITH held AS (
    -- The lease, if it is still held.
    SELECT FROM wa.webhook_lease WHERE webhook_id = $1 AND epoch = $2 AND worker_id = $3 FOR SHARE
), page AS MATERIALIZED (
    -- The page.
    SELECT d.id, d.webhook_id, d.status, d.source, d.happened_at FROM wa.delivery d WHERE d.id > coalesce($7, (SELECT wa.first_since('delivery', $4))) ORDER BY d.id LIMIT $8
), changed AS (
    -- The deliveries.
    UPDATE wa.delivery d SET status = 'queued', attempts = 0, run_at = now(), replayed_at = now(), finished_at = NULL, batch = NULL
    FROM page p
    WHERE EXISTS (SELECT FROM held) AND d.id = p.id AND p.webhook_id = $1 AND p.source <> 'test' AND p.happened_at >= $4 AND p.happened_at < $5
      AND p.status IN ('done', 'dead', 'cancelled') AND (p.status = 'dead' OR NOT $6::boolean)
)
SELECT max(id) AS last FROM page HAVING count(*) = $8

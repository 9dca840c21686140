-- Gives deliveries $4 of webhook $1, under epoch $2 of worker $3, the request $5 that they share, so that every attempt
-- has the same id and the same events. Share-locks the lease; locks the deliveries. Returns how many.
WITH held AS (
    -- The lease, if it is still held.
    SELECT FROM wa.webhook_lease WHERE webhook_id = $1 AND epoch = $2 AND worker_id = $3 FOR SHARE
), changed AS (
    -- The deliveries.
    UPDATE wa.delivery d SET batch = $5
    WHERE EXISTS (SELECT FROM held) AND d.id = ANY ($4::bigint[]) AND d.webhook_id = $1 AND d.status = 'queued'
    RETURNING 1
)
SELECT count(*) AS "count!" FROM changed

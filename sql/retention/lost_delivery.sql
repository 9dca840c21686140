-- Deletes up to $1 deliveries of webhooks that were dropped, or with $2 counts them all. Reads one row for each webhook.
-- Locks the deleted rows; skips rows that are being written.
WITH RECURSIVE webhook (id) AS (
    -- The webhooks in wa.delivery.
    SELECT min(webhook_id) FROM wa.delivery
    UNION ALL
    SELECT (SELECT min(d.webhook_id) FROM wa.delivery d WHERE d.webhook_id > webhook.id) FROM webhook WHERE webhook.id IS NOT NULL
), lost AS MATERIALIZED (
    -- Those that do not exist.
    SELECT webhook.id FROM webhook WHERE webhook.id IS NOT NULL AND NOT EXISTS (SELECT FROM wa.webhook w WHERE w.webhook_id = webhook.id)
), doomed AS (
    -- Their deliveries.
    SELECT d.id FROM lost JOIN wa.delivery d ON d.webhook_id = lost.id WHERE NOT $2::boolean LIMIT $1 FOR UPDATE OF d SKIP LOCKED
), gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.delivery d USING doomed WHERE d.id = doomed.id RETURNING 1
)
SELECT CASE WHEN $2::boolean THEN (SELECT count(*) FROM lost JOIN wa.delivery d ON d.webhook_id = lost.id) ELSE (SELECT count(*) FROM gone) END AS "count!"

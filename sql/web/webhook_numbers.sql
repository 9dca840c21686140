-- What webhook $1 did in each minute of the last hour, for plots.
SELECT minute AS "at!", coalesce(n.delivered, 0)::double precision AS "delivered!",
       coalesce(n.failed, 0)::double precision AS "failed!", coalesce(n.dead, 0)::double precision AS "dead!",
       CASE WHEN n.delivered > 0 THEN wa.latency_percentile(n.latency::bigint[], 0.5, n.latency_seconds) END AS median_seconds,
       CASE WHEN n.delivered > 0 THEN wa.latency_percentile(n.latency::bigint[], 0.95, n.latency_seconds) END AS p95_seconds
FROM generate_series(date_trunc('minute', now()) - interval '59 minutes', date_trunc('minute', now()), interval '1 minute') minute
LEFT JOIN wa.webhook_numbers n ON n.webhook_id = $1 AND n.at = minute
ORDER BY minute

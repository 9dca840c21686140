-- Webhooks, as wa.webhooks shows them but with a lower bound of the counts, and what each did in the last hour.
-- $1: after this id; $2: most rows; $3: most deliveries to count, one more tells that there are more.
SELECT w.webhook_id AS "webhook_id!", w.name AS "name!", w.url AS "url!", w.tenants, w.status AS "status!", w.disabled_reason, w.oldest,
       w.failures AS "failures!", w.next_probe, w.last_code, w.last_error,
       (SELECT count(*) FROM (
           (SELECT FROM wa.delivery d WHERE d.webhook_id = w.webhook_id AND d.status = 'queued' AND d.attempts = 0 LIMIT $3::bigint + 1)
           UNION ALL (SELECT FROM wa.delivery d WHERE d.webhook_id = w.webhook_id AND d.status = 'queued' AND d.attempts > 0 LIMIT $3::bigint + 1)
           UNION ALL (SELECT FROM wa.delivery d WHERE d.webhook_id = w.webhook_id AND d.status = 'waiting' LIMIT $3::bigint + 1)
       ) counted) AS "queued!",
       (SELECT count(*) FROM (SELECT FROM wa.delivery d WHERE d.webhook_id = w.webhook_id AND d.status = 'dead' LIMIT $3::bigint + 1) counted) AS "dead!",
       n.delivered AS "delivered!", n.failed AS "failed!", n.seconds
FROM wa.webhooks w CROSS JOIN LATERAL (
    SELECT coalesce(sum(m.delivered), 0) AS delivered, coalesce(sum(m.failed), 0) AS failed, sum(m.latency_seconds) / nullif(sum(m.delivered), 0) AS seconds
    FROM wa.webhook_numbers m WHERE m.webhook_id = w.webhook_id AND m.at > now() - interval '1 hour'
) n
WHERE w.webhook_id = ANY (ARRAY(SELECT p.webhook_id FROM wa.webhook p WHERE $1::bigint IS NULL OR p.webhook_id > $1 ORDER BY p.webhook_id LIMIT $2))
ORDER BY w.webhook_id

-- Webhook $1, as wa.webhooks shows it.
SELECT w.name AS "name!", w.sessions, w.tenants, w.url AS "url!", w.kinds AS "kinds!", w.lanes AS "lanes!",
       w.format AS "format!", w.batch_size AS "batch_size!", extract(epoch FROM w.batch_wait)::double precision AS "batch_seconds!",
       w.header_names AS "header_names!", w.status AS "status!", w.disabled_at, w.disabled_reason, w.queued AS "queued!", w.dead AS "dead!", w.oldest,
       w.failures AS "failures!", w.failing_since, w.next_probe, w.last_code, w.last_error, w.attempted_at, w.delivered_at,
       w.created_at AS "created_at!", (SELECT count(*) FROM wa.webhook_replay r WHERE r.webhook_id = w.webhook_id) AS "replays!"
FROM wa.webhooks w
WHERE w.webhook_id = $1

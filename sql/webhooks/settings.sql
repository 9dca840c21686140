-- What worker $1 has to know of the webhooks that it holds. Locks nothing.
SELECT l.webhook_id, l.epoch, w.name, w.url, w.lanes, w.format, w.batch_size,
       (extract(epoch FROM w.batch_wait) * 1000)::bigint AS "batch_wait_ms!", w.enabled_at, wa.is_disabled(w) AS "disabled!",
       l.failures, extract(epoch FROM l.not_before - now())::float8 AS rest,
       extract(epoch FROM now() - l.failing_since)::float8 AS failing_for,
       EXISTS (SELECT FROM wa.webhook_replay r WHERE r.webhook_id = l.webhook_id) AS "replays!",
       coalesce((SELECT jsonb_agg(jsonb_build_object('secret_id', s.secret_id, 'purpose', s.purpose, 'value', s.value) ORDER BY s.secret_id DESC)
                 FROM wa.webhook_secret s WHERE s.webhook_id = l.webhook_id AND (s.expires_at IS NULL OR s.expires_at > now())), '[]') AS "secrets!"
FROM wa.webhook_lease l JOIN wa.webhook w USING (webhook_id)
WHERE l.worker_id = $1

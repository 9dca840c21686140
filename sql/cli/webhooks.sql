-- Webhooks, all or the one named $1, as JSON. Locks nothing.
SELECT jsonb_build_object('webhook', w.name) || to_jsonb(w) - 'name' AS "webhook!"
FROM wa.webhooks w
WHERE $1::text IS NULL OR w.webhook_id = (SELECT wa.webhook_id($1))
ORDER BY w.name, w.webhook_id

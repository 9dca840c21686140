-- A message ($1), and what stands in the way of it. The row is read under the rights of the reader before wa.why is called.
SELECT o.id AS "id!", o.session AS "session!", o.recipient AS "recipient!", o.chat AS "chat!", o.kind AS "kind!", o.body, o.content,
       o.message_id AS "whatsapp_id!", o.dedupe_key, o.campaign, o.created_at AS "created_at!", o.send_at, o.expires_at,
       o.run_at AS "run_at!", o.max_attempts AS "max_attempts!", o.attempts AS "attempts!", o.status::text AS "status!",
       o.waits_for::text AS waits_for, o.priority AS "priority!", o.live AS "live!", o.sending_at, o.sent_at, o.delivered_at, o.read_at,
       o.played_at, o.failed_at, o.cancelled_at, o.expired_at, o.errors AS "errors!", wa.why(o.id) AS why
FROM wa.outbound o
WHERE o.id = $1

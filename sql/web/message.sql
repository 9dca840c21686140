-- A message ($1), and what stands in the way of it. The row is read under the rights of the reader before wa.message_reasons is called.
SELECT o.id AS "id!", o.session AS "session!", o.recipient AS "recipient!", o.chat AS "chat!", o.kind AS "kind!", o.body, o.content,
       o.message_id AS "whatsapp_id!", o.dedupe_key, o.campaign, o.created_at AS "created_at!", o.send_at, o.expires_at,
       q.run_at AS "run_at?", o.max_attempts AS "max_attempts!", o.attempts AS "attempts!", o.status::text AS "status!",
       q.waits_for::text AS waits_for, o.priority AS "priority!", q.id IS NOT NULL AS "live!", o.sending_at, o.sent_at, o.delivered_at, o.read_at,
       o.played_at, o.failed_at, o.cancelled_at, o.expired_at, o.errors AS "errors!", wa.message_reasons(o.id) AS why
FROM wa.outbound o LEFT JOIN wa.outbound_queue q ON q.session_id = o.session_id AND q.chat = o.chat AND q.id = o.id
WHERE o.id = $1

-- Claims the head of each lane that is due, for the sessions $2 under their epochs $3, held by worker $1; at most $4.
-- A lane (session, chat) has one message on its way, so order holds across retries. Share-locks the leases, so that a
-- takeover waits for this claim and then requeues it; locks the claimed rows.
WITH held AS (
    SELECT l.session_id, l.epoch
    FROM wa.lease l JOIN unnest($2::bigint[], $3::bigint[]) AS mine (session_id, epoch) USING (session_id, epoch)
    WHERE l.holder = $1
    FOR SHARE OF l
), head AS (
    SELECT o.session_id, o.id, held.epoch
    FROM held JOIN wa.outbound o USING (session_id)
    WHERE o.status = 'queued' AND o.run_at <= now()
      AND NOT EXISTS (
          SELECT FROM wa.outbound earlier
          WHERE earlier.session_id = o.session_id AND earlier.chat = o.chat
            AND earlier.status IN ('queued', 'sending') AND earlier.id < o.id
      )
    ORDER BY o.id
    LIMIT $4
    FOR UPDATE OF o SKIP LOCKED
)
UPDATE wa.outbound o
SET status = 'sending', attempts = o.attempts + 1, sending_at = now()
FROM head
WHERE o.session_id = head.session_id AND o.id = head.id
RETURNING o.session_id, head.epoch AS "epoch!", o.id, o.chat, o.kind, o.body, o.message_id, o.attempts

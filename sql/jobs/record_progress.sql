-- Writes a batch of what happened to messages: $1 session ids, $2 epochs, $3 message ids, $4 what, $5 when (null: now),
-- $6 error. A time is never later than now and never earlier than the attempt, whatever the other clock says.
-- What: sent, delivered, read, played (truths: they stand whatever the row says, and never take it back), failed (for
-- good), retry (counted, after a backoff with jitter, failed when out of attempts), release (not counted, at once).
-- The last three end the attempt under way and touch only a row that is still sending. Changes under an epoch that is
-- no longer held are dropped. Share-locks the leases; locks the rows in key order, one update for each message.
WITH held AS (
    SELECT session_id, epoch FROM wa.lease WHERE session_id = ANY ($1::bigint[]) AND holder IS NOT NULL FOR SHARE
), change AS (
    SELECT c.session_id, c.message_id,
           max(c.what::wa.outbound_status) FILTER (WHERE c.what IN ('sent', 'delivered', 'read', 'played')) AS reached,
           min(coalesce(c.at, now())) FILTER (WHERE c.what = 'sent') AS sent_at,
           min(coalesce(c.at, now())) FILTER (WHERE c.what = 'delivered') AS delivered_at,
           min(coalesce(c.at, now())) FILTER (WHERE c.what = 'read') AS read_at,
           min(coalesce(c.at, now())) FILTER (WHERE c.what = 'played') AS played_at,
           bool_or(c.what = 'failed') AS failed,
           bool_or(c.what = 'release') AS released,
           max(c.error) AS error
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
             AS c (session_id, epoch, message_id, what, at, error)
    JOIN held USING (session_id, epoch)
    GROUP BY c.session_id, c.message_id
), target AS (
    SELECT o.id, change.*
    FROM change JOIN wa.outbound o USING (session_id, message_id)
    WHERE change.reached IS NOT NULL OR o.status = 'sending'
    ORDER BY o.session_id, o.id
    FOR UPDATE OF o
)
UPDATE wa.outbound o
SET status = CASE
        WHEN t.reached IS NOT NULL THEN
            CASE WHEN o.status BETWEEN 'sent' AND 'played' THEN greatest(o.status, t.reached) ELSE t.reached END
        WHEN t.failed OR (NOT t.released AND o.attempts >= o.max_attempts) THEN 'failed'::wa.outbound_status
        ELSE 'queued'::wa.outbound_status
    END,
    run_at = CASE
        WHEN t.reached IS NOT NULL OR t.failed OR t.released THEN o.run_at
        ELSE now() + least(power(2, least(o.attempts, 10)), 300) * (0.75 + random() / 2) * interval '1 second'
    END,
    attempts = CASE WHEN t.reached IS NULL AND t.released THEN o.attempts - 1 ELSE o.attempts END,
    last_error = CASE WHEN t.reached IS NULL THEN coalesce(t.error, o.last_error) ELSE o.last_error END,
    sent_at = coalesce(o.sent_at, CASE WHEN t.reached >= 'sent' THEN least(greatest(coalesce(t.sent_at, t.delivered_at, t.read_at, t.played_at), o.sending_at), now()) END),
    delivered_at = coalesce(o.delivered_at, CASE WHEN t.reached >= 'delivered' THEN least(greatest(coalesce(t.delivered_at, t.read_at, t.played_at), o.sent_at), now()) END),
    read_at = coalesce(o.read_at, CASE WHEN t.reached >= 'read' THEN least(greatest(coalesce(t.read_at, t.played_at), o.delivered_at), now()) END),
    played_at = coalesce(o.played_at, CASE WHEN t.reached >= 'played' THEN least(greatest(t.played_at, o.read_at), now()) END),
    failed_at = CASE
        WHEN t.reached IS NOT NULL THEN NULL
        WHEN t.failed OR (NOT t.released AND o.attempts >= o.max_attempts) THEN now()
    END
FROM target t
WHERE o.session_id = t.session_id AND o.id = t.id

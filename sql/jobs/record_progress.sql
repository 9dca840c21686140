-- Writes the progress of messages, one array element for each message. Changes under an epoch that no longer holds are
-- dropped. Share-locks the leases; locks the rows. When an application has locked a row, this fails after a tenth of a
-- second; with $13 it leaves such rows out instead, which costs one more record in the log for each row. Returns the
-- messages that it left out, because their row or their lease is locked: session ids and message ids, as parallel
-- arrays.
--
-- A message is changed by how far it came (reached), or else by what became of the attempt (outcome). reached is a
-- fact: it stands whatever the row says, and never takes the row back. An outcome touches only a live row: sending
-- (the attempt takes its time), failed (for good), retry (after a backoff with jitter; failed after the last attempt),
-- release (nothing was tried), expired. A time is never later than now and never earlier than the attempt, whatever
-- the other clock says.
WITH input (session_id, epoch, message_id, reached, sent_at, delivered_at, read_at, played_at, outcome, error, began, id) AS (
    -- reached: sent, delivered, read, played. sent_at to played_at: when; null is unknown, then now. began: how many
    -- seconds ago the attempt began. id: null is unknown, then message_id finds the row, in a larger index.
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[],
                         $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[], $11::float8[], $12::bigint[])
), held AS (
    -- The leases that are held, with their epochs.
    SELECT session_id, epoch FROM wa.lease WHERE session_id = ANY ($1::bigint[]) AND holder IS NOT NULL
    FOR SHARE SKIP LOCKED
), hasty AS MATERIALIZED (
    -- The limit on waiting for a row.
    SELECT set_config('lock_timeout', '100ms', true)
), change AS (
    -- The changes of sessions that are still held under their epoch, with the id of the row and no time in the future.
    SELECT c.session_id, c.message_id,
           coalesce(c.id, (SELECT o.id FROM wa.outbound o WHERE o.session_id = c.session_id AND o.message_id = c.message_id)) AS id,
           c.reached::wa.outbound_status AS reached, c.outcome, c.error,
           least(c.sent_at, now()) AS sent_at, least(c.delivered_at, now()) AS delivered_at, least(c.read_at, now()) AS read_at,
           least(c.played_at, now()) AS played_at, now() - c.began * interval '1 second' AS began_at
    FROM input c
    JOIN held USING (session_id, epoch)
    CROSS JOIN hasty
), free AS MATERIALIZED (
    -- With $13, the rows that nobody else has locked.
    SELECT o.id FROM wa.outbound o JOIN change c ON o.id = c.id AND o.session_id = c.session_id
    WHERE $13::boolean
    FOR NO KEY UPDATE OF o SKIP LOCKED
), changed AS (
    -- The messages that were changed.
    UPDATE wa.outbound o
    SET status = CASE
            WHEN c.reached IS NOT NULL THEN
                CASE WHEN o.status BETWEEN 'sent' AND 'played' THEN greatest(o.status, c.reached) ELSE c.reached END
            WHEN c.outcome = 'retry' THEN CASE WHEN o.attempts + 1 >= o.max_attempts THEN 'failed' ELSE 'queued' END::wa.outbound_status
            WHEN c.outcome = 'release' THEN 'queued'
            ELSE c.outcome::wa.outbound_status
        END,
        attempts = o.attempts + CASE WHEN o.live AND (c.reached IS NOT NULL OR c.outcome IN ('retry', 'failed')) THEN 1 ELSE 0 END,
        waits_for = CASE WHEN c.reached IS NULL AND c.outcome = 'retry' AND o.attempts + 1 < o.max_attempts THEN 'retry'::wa.wait_reason END,
        run_at = CASE WHEN c.reached IS NULL AND c.outcome = 'retry'
                      THEN now() + least(power(2, least(o.attempts + 1, 10)), 300) * (0.75 + random() / 2) * interval '1 second'
                      ELSE o.run_at END,
        last_error = CASE WHEN c.reached IS NULL THEN coalesce(c.error, o.last_error) ELSE o.last_error END,
        errors = CASE WHEN c.reached IS NULL AND c.outcome IN ('retry', 'failed')
                      THEN o.errors || wa.attempt_error(o.attempts + 1, c.error) ELSE o.errors END,
        sending_at = CASE WHEN o.live AND c.began_at IS NOT NULL THEN greatest(c.began_at, o.created_at) ELSE o.sending_at END,
        sent_at = coalesce(o.sent_at, CASE WHEN c.reached >= 'sent' THEN
            greatest(coalesce(c.sent_at, c.delivered_at, c.read_at, c.played_at, now()), o.sending_at, c.began_at) END),
        delivered_at = coalesce(o.delivered_at, CASE WHEN c.reached >= 'delivered' THEN
            greatest(coalesce(c.delivered_at, c.read_at, c.played_at, now()), o.sent_at, o.sending_at, c.sent_at, c.began_at) END),
        read_at = coalesce(o.read_at, CASE WHEN c.reached >= 'read' THEN
            greatest(coalesce(c.read_at, c.played_at, now()), o.delivered_at, o.sent_at, o.sending_at, c.delivered_at, c.sent_at, c.began_at) END),
        played_at = coalesce(o.played_at, CASE WHEN c.reached >= 'played' THEN
            greatest(coalesce(c.played_at, now()), o.read_at, o.delivered_at, o.sent_at, o.sending_at, c.read_at, c.began_at) END),
        failed_at = CASE
            WHEN c.reached IS NOT NULL THEN NULL
            WHEN c.outcome = 'failed' OR (c.outcome = 'retry' AND o.attempts + 1 >= o.max_attempts) THEN now()
        END,
        expired_at = CASE WHEN c.reached IS NULL AND c.outcome = 'expired' THEN now() END,
        cancelled_at = CASE WHEN c.reached IS NULL THEN o.cancelled_at END
    FROM change c
    WHERE o.id = c.id AND o.session_id = c.session_id
      AND (c.reached IS NOT NULL OR (o.live AND (c.outcome <> 'release' OR o.status = 'sending')))
      AND (NOT $13::boolean OR o.id IN (SELECT id FROM free))
    RETURNING o.session_id, o.id
), left_out AS (
    -- Messages whose lease is held, but locked; and with $13, messages whose row is locked.
    SELECT i.session_id, i.message_id FROM input i
    WHERE i.session_id NOT IN (SELECT session_id FROM held)
      AND EXISTS (SELECT FROM wa.lease l WHERE l.session_id = i.session_id AND l.epoch = i.epoch AND l.holder IS NOT NULL)
    UNION ALL
    SELECT c.session_id, c.message_id FROM change c
    WHERE $13::boolean AND c.id NOT IN (SELECT id FROM free)
      AND EXISTS (SELECT FROM wa.outbound o WHERE o.id = c.id AND o.session_id = c.session_id)
)
SELECT (SELECT wa.announce_status(array_agg(session_id), array_agg(id))::text FROM changed HAVING count(*) > 0) AS announced,
       ARRAY(SELECT session_id FROM left_out) AS "sessions!", ARRAY(SELECT message_id FROM left_out) AS "message_ids!"

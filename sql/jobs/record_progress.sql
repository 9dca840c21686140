-- Writes the progress of messages, one array element for each message: whatever record_sent.sql leaves, and every outcome
-- but an ack. Changes under an epoch that no longer holds are dropped. Share-locks the leases; locks the rows. When an application has locked a row, this fails after a tenth of a
-- second; with $13 it leaves such rows out instead, which costs one more record in the log for each row. Returns the
-- messages that it left out, because their row or their lease is locked: session ids and message ids, as parallel
-- arrays; and, for wa.numbers, the moment and what is new, as parallel arrays with an element for each message.
--
-- new is a sum of 1 (the first attempt of all ended, also before a wa.retry, or the message expired before one), 2 (sent), 4 (delivered), 8 (read), 16
-- (played), 32 (delivered within an hour), 64 (expired), and 128 times the place of the class in wa.failure_classes()
-- (failed). seconds: from INSERT or send_at to sent, if that is new; else since it was sent, if it is delivered within an
-- hour. $15 is null, unless the answer to an earlier run with the same changes was lost: then it is a moment before that
-- run, and what that run changed is new, too.
--
-- A message is changed by how far it came (reached), or else by what became of the attempt (outcome). reached is a
-- fact: it stands whatever the row says, and never takes the row back. An outcome touches only a live row: sending
-- (the attempt takes its time), failed (for good), retry (after a backoff with jitter; failed after the last attempt),
-- release (nothing was tried), expired. The end of an attempt that the row counts already is an outcome whose answer was
-- lost: it changes nothing. A time is never later than now and never earlier than the attempt, whatever
-- the other clock says.
WITH input (session_id, epoch, message_id, reached, sent_at, delivered_at, read_at, played_at, outcome, error, began, id, failure, attempt) AS (
    -- reached: sent, delivered, read, played. sent_at to played_at: when; null is unknown, then now. began: how many
    -- seconds ago the attempt began. id: null is unknown, then message_id finds the row. failure: the
    -- class, if the message fails with this outcome. attempt: its number, from 1; null is unknown.
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[],
                         $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[], $11::float8[], $12::bigint[], $14::text[], $16::integer[])
), held AS (
    -- The leases that are held, with their epochs.
    SELECT session_id, epoch FROM wa.lease WHERE session_id = ANY ($1::bigint[]) AND holder IS NOT NULL
    FOR SHARE SKIP LOCKED
), hasty AS MATERIALIZED (
    -- The limit on waiting for a row, and since when a time is new.
    SELECT set_config('lock_timeout', '100ms', true), coalesce($15::timestamptz + interval '1 microsecond', now()) AS after
), named AS MATERIALIZED (
    -- The changes of sessions that are still held under their epoch, with the id of the row.
    SELECT c.*, coalesce(c.id, (SELECT o.id FROM wa.outbound o WHERE o.id = wa.made_id(s.message_key, c.message_id) AND o.session_id = c.session_id AND o.message_id = c.message_id),
                         (SELECT o.id FROM wa.outbound o WHERE o.session_id = c.session_id AND o.message_id = c.message_id AND o.given_id)) AS row_id
    FROM input c JOIN held USING (session_id, epoch) JOIN wa.session s USING (session_id) CROSS JOIN hasty
), change AS (
    -- Without times in the future. missing: what the row lacks, where a time is given. A time that this statement takes by
    -- itself is now(), which shows what is new.
    SELECT c.session_id, c.message_id, c.row_id AS id,
           -- Constants, because a cast would look each of them up in the catalog.
           CASE c.reached WHEN 'sent' THEN 'sent'::wa.outbound_status WHEN 'delivered' THEN 'delivered' WHEN 'read' THEN 'read'
                          WHEN 'played' THEN 'played' END AS reached,
           c.outcome, c.error, c.failure, c.attempt,
           CASE WHEN coalesce(c.sent_at, c.delivered_at, c.read_at, c.played_at) IS NOT NULL THEN
               (SELECT CASE WHEN (o.attempts = 0 AND o.status <= 'sending' OR o.attempts = 1 AND o.sent_at > $15) AND o.errors = '[]' THEN 1 ELSE 0 END
                       + CASE WHEN o.sent_at IS NULL OR o.sent_at > $15 THEN 2 ELSE 0 END
                       + CASE WHEN o.delivered_at IS NULL OR o.delivered_at > $15 THEN 4 ELSE 0 END
                       + CASE WHEN o.read_at IS NULL OR o.read_at > $15 THEN 8 ELSE 0 END
                       + CASE WHEN o.played_at IS NULL OR o.played_at > $15 THEN 16 ELSE 0 END
                FROM wa.outbound o WHERE o.id = c.row_id)
           END AS missing,
           least(c.sent_at, now()) AS sent_at, least(c.delivered_at, now()) AS delivered_at, least(c.read_at, now()) AS read_at,
           least(c.played_at, now()) AS played_at, now() - c.began * interval '1 second' AS began_at
    FROM named c
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
        attempts = o.attempts + CASE WHEN o.status <= 'sending' AND (c.reached IS NOT NULL OR c.outcome IN ('retry', 'failed')) THEN 1 ELSE 0 END,
        -- Others of its chat may have been written before it.
        apart = o.apart OR c.reached IS NOT NULL AND o.sent_at IS NULL,
        last_error = CASE WHEN c.reached IS NULL THEN coalesce(c.error, o.last_error) ELSE o.last_error END,
        errors = CASE WHEN c.reached IS NULL AND c.outcome IN ('retry', 'failed')
                      THEN o.errors || wa.attempt_error(o.attempts + 1, c.error) ELSE o.errors END,
        sending_at = CASE WHEN o.status <= 'sending' AND c.began_at IS NOT NULL THEN greatest(c.began_at, o.created_at) ELSE o.sending_at END,
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
        failure = CASE
            WHEN c.reached IS NOT NULL THEN NULL
            WHEN c.outcome = 'failed' OR (c.outcome = 'retry' AND o.attempts + 1 >= o.max_attempts) THEN c.failure
        END,
        expired_at = CASE WHEN c.reached IS NULL AND c.outcome = 'expired' THEN now() END,
        cancelled_at = CASE WHEN c.reached IS NULL THEN o.cancelled_at END
    FROM change c
    WHERE o.id = c.id AND o.session_id = c.session_id
      AND (c.reached IS NOT NULL OR o.status <= 'sending' AND (c.outcome <> 'release' OR o.status = 'sending')
                                    AND coalesce(c.outcome NOT IN ('retry', 'failed') OR o.attempts < c.attempt, true))
      AND (NOT $13::boolean OR o.id IN (SELECT id FROM free))
    RETURNING o.session_id, o.id, o.chat, o.status, o.attempts, o.campaign, o.sent_at, o.delivered_at, greatest(o.created_at, o.send_at) AS due_at,
              CASE WHEN c.reached IS NOT NULL THEN coalesce(
                       c.missing & CASE c.reached WHEN 'sent' THEN 3 WHEN 'delivered' THEN 7 WHEN 'read' THEN 15 ELSE 31 END,
                       CASE WHEN o.sent_at < (SELECT after FROM hasty) THEN 0
                            -- Not if it had failed before.
                            WHEN o.attempts = 1 AND (o.last_error IS NULL OR o.errors = '[]') THEN 3
                            ELSE 2 END
                       + CASE WHEN c.reached = 'sent' THEN 0 ELSE
                             CASE WHEN o.delivered_at >= (SELECT after FROM hasty) THEN 4 ELSE 0 END
                             + CASE WHEN o.read_at >= (SELECT after FROM hasty) THEN 8 ELSE 0 END
                             + CASE WHEN o.played_at >= (SELECT after FROM hasty) THEN 16 ELSE 0 END END)
                   WHEN o.status = 'failed' THEN 128 * array_position(ARRAY(SELECT f.class FROM wa.failure_classes() f), o.failure)
                                                 + (o.attempts = 1 AND jsonb_array_length(o.errors) = 1)::integer
                   WHEN c.outcome = 'retry' THEN (o.attempts = 1 AND jsonb_array_length(o.errors) = 1)::integer
                   WHEN c.outcome = 'expired' THEN 64 + (o.attempts = 0 AND o.errors = '[]')::integer
                   ELSE 0 END AS new
), requeued AS (
    -- Messages that wait for their retry.
    UPDATE wa.outbound_queue q
    SET waits_for = 'retry', run_at = now() + least(power(2, least(c.attempts, 10)), 300) * (0.75 + random() / 2) * interval '1 second'
    FROM changed c JOIN change USING (session_id, id)
    WHERE c.status = 'queued' AND change.outcome = 'retry' AND q.session_id = c.session_id AND q.chat = c.chat AND q.id = c.id
), gone AS (
    -- Messages that are over.
    DELETE FROM wa.outbound_queue q USING changed c
    WHERE c.status > 'sending' AND q.session_id = c.session_id AND q.chat = c.chat AND q.id = c.id
), news AS (
    -- What is new, and the seconds.
    SELECT session_id, id, campaign, new + CASE WHEN new & 4 > 0 AND delivered_at <= sent_at + interval '1 hour' THEN 32 ELSE 0 END AS new,
           CASE WHEN new & 2 > 0 THEN CASE WHEN sent_at = now() THEN due_at ELSE due_at + (now() - sent_at) END
                WHEN new & 4 > 0 THEN sent_at END AS since
    FROM changed
    UNION ALL
    -- Messages whose attempt ended in the run whose answer was lost, and are not changed again.
    SELECT o.session_id, o.id, o.campaign,
           CASE o.status WHEN 'failed' THEN 128 * array_position(ARRAY(SELECT f.class FROM wa.failure_classes() f), o.failure)
                                            + (o.attempts = 1 AND jsonb_array_length(o.errors) = 1)::integer
                         WHEN 'queued' THEN (o.attempts = 1 AND jsonb_array_length(o.errors) = 1)::integer
                         ELSE 64 + (o.attempts = 0 AND o.errors = '[]')::integer END, NULL
    FROM change c JOIN wa.outbound o ON o.id = c.id AND o.session_id = c.session_id
    WHERE $15::timestamptz IS NOT NULL AND c.reached IS NULL
      AND (o.status = 'failed' AND o.failed_at > $15 OR o.status = 'expired' AND o.expired_at > $15
           OR o.status = 'queued' AND c.outcome = 'retry' AND o.attempts >= c.attempt)
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
SELECT n.sessions AS new_sessions, n.ids AS new_ids, n.new, n.since AS "since: Vec<Option<DateTime<Utc>>>", n.campaigns AS "campaigns: Vec<Option<String>>",
       now() AS "at!", CASE WHEN EXISTS (SELECT FROM wa.webhook) THEN wa.deliver_status(n.ids)::text END AS delivered,
       ARRAY(SELECT session_id FROM left_out) AS "sessions!", ARRAY(SELECT message_id FROM left_out) AS "message_ids!"
FROM (
    SELECT array_agg(session_id) AS sessions, array_agg(id) AS ids, array_agg(new) AS new, array_agg(since) AS since, array_agg(campaign) AS campaigns
    FROM news
) n

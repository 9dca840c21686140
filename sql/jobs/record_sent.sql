-- Writes the progress of messages that go as expected, one array element for each message: acknowledged by the server ($5:
-- id of the row, $6: seconds since the attempt began), and received, read or played by the recipient ($7 to $9: when; null is
-- unknown, then now). $4 is how far each came, 0 (sent) to 3 (played). record_progress.sql writes everything else; its comment says
-- what is returned here, too. "rest" are the messages that are left for it: an outcome that was overtaken, a receipt before
-- the ack, a row that somebody gave its message id.
--
-- Changes under an epoch that no longer holds are dropped. Share-locks the leases; locks the rows; fails after a tenth of a
-- second when an application has locked one. No index is written, except that a message leaves the queue.
WITH input AS MATERIALIZED (
    SELECT c.session_id, c.epoch, c.message_id, c.id IS NOT NULL AS done, c.began, c.delivered_at, c.read_at, c.played_at, c.id,
           CASE c.reached WHEN 0 THEN 'sent'::wa.outbound_status WHEN 1 THEN 'delivered' WHEN 2 THEN 'read' ELSE 'played' END AS reached,
           c.reached AS steps
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::smallint[], $5::bigint[], $6::float8[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[])
             AS c (session_id, epoch, message_id, reached, id, began, delivered_at, read_at, played_at)
), held AS MATERIALIZED (
    SELECT session_id, epoch FROM wa.lease WHERE session_id = ANY ($1::bigint[]) AND holder IS NOT NULL FOR SHARE SKIP LOCKED
), hasty AS MATERIALIZED (
    SELECT set_config('lock_timeout', '100ms', true)
), change AS MATERIALIZED (
    SELECT c.session_id, c.epoch, c.message_id, c.done, c.reached, c.steps, coalesce(c.id, wa.made_id(s.message_key, c.message_id)) AS id,
           now() - c.began * interval '1 second' AS began_at, least(c.delivered_at, now()) AS delivered_at,
           least(c.read_at, now()) AS read_at, least(c.played_at, now()) AS played_at
    FROM input c JOIN held USING (session_id, epoch) JOIN wa.session s USING (session_id) CROSS JOIN hasty
), changed AS (
    UPDATE wa.outbound o
    SET status = greatest(o.status, c.reached),
        attempts = o.attempts + (o.status <= 'sending')::integer,
        sending_at = CASE WHEN o.status <= 'sending' THEN greatest(c.began_at, o.created_at) ELSE o.sending_at END,
        sent_at = coalesce(o.sent_at, now()),
        delivered_at = CASE WHEN c.steps < 1 THEN o.delivered_at
                            ELSE coalesce(o.delivered_at, greatest(coalesce(c.delivered_at, c.read_at, c.played_at, now()), o.sent_at, c.began_at)) END,
        read_at = CASE WHEN c.steps < 2 THEN o.read_at
                       ELSE coalesce(o.read_at, greatest(coalesce(c.read_at, c.played_at, now()), o.delivered_at, o.sent_at, c.delivered_at, c.began_at)) END,
        played_at = CASE WHEN c.steps < 3 THEN o.played_at
                         ELSE coalesce(o.played_at, greatest(coalesce(c.played_at, now()), o.read_at, o.delivered_at, o.sent_at, c.read_at, c.began_at)) END
    FROM change c
    WHERE o.id = c.id AND o.session_id = c.session_id AND o.message_id = c.message_id
      AND CASE WHEN c.done THEN o.status <= 'sending' ELSE o.sent_at IS NOT NULL AND o.status BETWEEN 'sent' AND 'played' AND o.status < c.reached END
    RETURNING o.session_id, o.id, o.chat, o.campaign, c.done, c.steps, o.attempts, o.sent_at, o.delivered_at, o.read_at, o.played_at,
              o.errors = '[]' AND o.last_error IS NULL AS first, greatest(o.created_at, o.send_at) AS due_at
), gone AS (
    DELETE FROM wa.outbound_queue q USING changed c WHERE c.done AND q.session_id = c.session_id AND q.chat = c.chat AND q.id = c.id
), news AS (
    SELECT c.session_id, c.id, c.campaign, CASE WHEN c.done THEN c.due_at ELSE c.sent_at END AS since,
           c.new + CASE WHEN c.new & 4 > 0 AND c.delivered_at <= c.sent_at + interval '1 hour' THEN 32 ELSE 0 END AS new
    FROM (
        SELECT c.*, CASE WHEN c.done THEN 2 + (c.attempts = 1 AND c.first)::integer + CASE WHEN c.steps >= 1 THEN 4 ELSE 0 END
                              + CASE WHEN c.steps >= 2 THEN 8 ELSE 0 END + CASE WHEN c.steps >= 3 THEN 16 ELSE 0 END
                         -- Which of its times the row lacked when this statement began.
                         ELSE (SELECT CASE WHEN c.steps >= 1 AND was.delivered_at IS NULL THEN 4 ELSE 0 END
                                      + CASE WHEN c.steps >= 2 AND was.read_at IS NULL THEN 8 ELSE 0 END
                                      + CASE WHEN c.steps >= 3 AND was.played_at IS NULL THEN 16 ELSE 0 END
                               FROM wa.outbound was WHERE was.id = c.id) END AS new
        FROM changed c
    ) c
), rest AS (
    SELECT c.session_id, c.message_id FROM change c
    WHERE (c.id IS NULL OR c.id NOT IN (SELECT id FROM changed))
      -- Without messages that have no row, and those whose row has this state already.
      AND (EXISTS (SELECT FROM wa.outbound o WHERE o.id = c.id AND o.session_id = c.session_id AND o.message_id = c.message_id
                   AND (c.done OR o.status NOT BETWEEN c.reached AND 'played'))
           OR EXISTS (SELECT FROM wa.outbound o WHERE o.session_id = c.session_id AND o.message_id = c.message_id AND o.given_id
                      AND (c.done OR o.status NOT BETWEEN c.reached AND 'played')))
)
SELECT n.sessions AS new_sessions, n.ids AS new_ids, n.new, n.since AS "since: Vec<Option<DateTime<Utc>>>", n.campaigns AS "campaigns: Vec<Option<String>>",
       now() AS "at!", CASE WHEN EXISTS (SELECT FROM wa.webhook) THEN wa.deliver_status(n.ids)::text END AS delivered,
       ARRAY(SELECT session_id FROM rest) AS "rest_sessions!", ARRAY(SELECT message_id FROM rest) AS "rest_ids!",
       ARRAY(SELECT i.session_id FROM input i WHERE i.session_id NOT IN (SELECT session_id FROM held)
             AND EXISTS (SELECT FROM wa.lease l WHERE l.session_id = i.session_id AND l.epoch = i.epoch AND l.holder IS NOT NULL)) AS "locked!"
FROM (
    SELECT array_agg(session_id) AS sessions, array_agg(id) AS ids, array_agg(new) AS new, array_agg(since) AS since, array_agg(campaign) AS campaigns
    FROM news
) n

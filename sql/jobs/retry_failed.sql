-- Queues failed messages again, as wa.retry does, for the retry $1: of the next $10 failed messages behind session $7, moment
-- $8 and id $9 those of session $2, of class $3, of campaign $4, that failed from $5 to $6; null is no limit. Messages of a
-- paused campaign are held. Locks the messages, and the rows of wa.sending that name some of them; skips those that somebody
-- else has locked, and those of a campaign that is being paused or resumed, so that it waits for nobody (R8). Returns how
-- many matched, how many are queued, and the last message that it looked at; null is the end.
WITH page AS MATERIALIZED (
    -- The messages that this statement looks at.
    SELECT f.session_id, f.failed_at, f.id, f.failure, f.campaign FROM wa.outbound_failed f
    WHERE (f.session_id, f.failed_at, f.id) > ($7::bigint, $8::timestamptz, $9::bigint)
      AND f.session_id <= coalesce($2::bigint, 9223372036854775807)
    ORDER BY f.session_id, f.failed_at, f.id LIMIT $10
), wanted AS MATERIALIZED (
    -- Those of them that match.
    SELECT p.session_id, p.id, p.campaign
    FROM page p JOIN wa.session s USING (session_id)
    CROSS JOIN (SELECT j.tenants FROM wa.maintenance_job j WHERE j.id = $1) j
    WHERE p.failed_at >= coalesce($5, '-infinity'::timestamptz) AND p.failed_at <= coalesce($6, 'infinity'::timestamptz)
      AND ($3::text IS NULL OR p.failure = $3) AND ($4::text IS NULL OR p.campaign = $4)
      AND (j.tenants IS NULL OR s.tenant = ANY (j.tenants))
), campaign AS MATERIALIZED (
    -- Their campaigns, paused or not.
    SELECT c.session_id, c.campaign, wa.is_paused_now(c.session_id, c.campaign) AS paused
    FROM (SELECT DISTINCT session_id, campaign FROM wanted WHERE campaign IS NOT NULL) c
), naming AS MATERIALIZED (
    -- Sessions whose worker's last claim names some of them, because they were in hand then.
    SELECT b.session_id FROM wa.sending b
    WHERE b.session_id IN (SELECT session_id FROM wanted) AND b.taken && ARRAY(SELECT id FROM wanted)
), locked AS MATERIALIZED (
    SELECT b.session_id FROM wa.sending b WHERE b.session_id IN (SELECT session_id FROM naming) FOR NO KEY UPDATE OF b SKIP LOCKED
), free AS MATERIALIZED (
    -- The messages that nobody else has locked.
    SELECT o.session_id, o.id, w.paused
    FROM (
        SELECT w.session_id, w.id, c.paused FROM wanted w LEFT JOIN campaign c USING (session_id, campaign)
        WHERE (w.campaign IS NULL OR c.paused IS NOT NULL)
          AND (w.session_id NOT IN (SELECT session_id FROM naming) OR w.session_id IN (SELECT session_id FROM locked))
    ) w JOIN wa.outbound o ON o.session_id = w.session_id AND o.id = w.id
    WHERE o.status = 'failed'
    FOR NO KEY UPDATE OF o SKIP LOCKED
), changed AS (
    -- The messages, queued.
    UPDATE wa.outbound o
    SET status = 'queued', attempts = 0, failed_at = NULL, failure = NULL, apart = true,
        expires_at = CASE WHEN o.expires_at > now() THEN o.expires_at END
    FROM free WHERE o.session_id = free.session_id AND o.id = free.id
    RETURNING o.session_id, o.id, o.priority, o.chat, o.campaign, o.expires_at, free.paused
), queued AS (
    INSERT INTO wa.outbound_queue (session_id, id, rank, chat, campaign, expires_at, waits_for, run_at)
    SELECT c.session_id, c.id, -c.priority, c.chat, c.campaign, c.expires_at,
           CASE WHEN c.paused THEN 'paused'::wa.wait_reason END, CASE WHEN c.paused THEN now() END
    FROM changed c
    -- It is there if somebody has ended the message by hand.
    ON CONFLICT ON CONSTRAINT outbound_queue_pkey DO UPDATE SET expires_at = excluded.expires_at, waits_for = excluded.waits_for, run_at = excluded.run_at
), unnamed AS (
    -- They are in nobody's hands.
    UPDATE wa.sending b SET taken = ARRAY(SELECT unnest(b.taken) EXCEPT SELECT id FROM changed)
    FROM locked WHERE b.session_id = locked.session_id
), told AS MATERIALIZED (
    -- Their notifications, and a bell for workers that sleep.
    SELECT wa.announce_status(array_agg(session_id), array_agg(id))::text, wa.wake(array_agg(DISTINCT session_id))::text FROM changed HAVING count(*) > 0
)
SELECT (SELECT count(*) FROM wanted) AS "matched!", (SELECT count(*) FROM changed) AS "retried!",
       (SELECT count(*) FROM told) AS "told!", last.session_id AS "session_id?", last.failed_at AS "failed_at?", last.id AS "id?"
FROM (SELECT true) one
LEFT JOIN (SELECT * FROM page ORDER BY session_id DESC, failed_at DESC, id DESC LIMIT 1) last ON (SELECT count(*) FROM page) = $10

-- Expires messages of any session that are past their expires_at and not claimed, at most $1. Locks those rows and the
-- rows of their sessions in wa.sending; skips what somebody else has locked. As in wa.withdraw, a claim that began
-- before finds withdrawals changed, and reads again. Returns the moment and what is new, as record_progress.sql does; no
-- row when nothing expired.
WITH due AS MATERIALIZED (
    -- Messages that nobody has claimed, by the latest version of taken.
    SELECT q.session_id, q.id
    FROM wa.outbound_queue q JOIN wa.sending b USING (session_id) JOIN wa.outbound o ON o.id = q.id
    WHERE q.expires_at <= now() AND o.status = 'queued' AND q.id <> ALL (b.taken)
    ORDER BY q.expires_at LIMIT $1
    FOR NO KEY UPDATE OF b SKIP LOCKED FOR NO KEY UPDATE OF o SKIP LOCKED FOR UPDATE OF q SKIP LOCKED
), ended AS (
    -- The expired messages.
    UPDATE wa.outbound o SET status = 'expired', expired_at = now()
    FROM due WHERE o.session_id = due.session_id AND o.id = due.id
    RETURNING o.session_id, o.chat, o.id, o.campaign, 64 + (o.attempts = 0 AND o.errors = '[]')::integer AS new
), gone AS (
    DELETE FROM wa.outbound_queue q USING ended e WHERE q.session_id = e.session_id AND q.chat = e.chat AND q.id = e.id
), counted AS (
    -- Their sessions.
    UPDATE wa.sending b SET withdrawals = b.withdrawals + 1
    FROM (SELECT DISTINCT session_id FROM ended) e WHERE b.session_id = e.session_id
)
SELECT wa.announce_status(array_agg(session_id), array_agg(id))::text AS announced, now() AS "at!", array_agg(session_id) AS "sessions!",
       array_agg(new) AS "new!", array_agg(campaign) AS "campaigns!: Vec<Option<String>>"
FROM ended HAVING count(*) > 0

-- Claims messages that can go now, of sessions without pacing. The sessions $2, under their epochs $3, are held by worker
-- $1; of each at most $4 are read, from its mark on ($5 rank, $6 id; null: not). What the worker has in hand of a session
-- are the places $7 to $8 of $9, ids in the order of sessions. The lanes (session, chat) $10, $11 are asked for their first
-- $12 messages. The lanes $13, $14 give none.
--
-- Returns what was read, in order. took: the message is claimed, unless the worker finds that it may not go yet: "before"
-- is the message before it in its lane, which must be in hand or go with it (Q6). Of a message that was not taken only the
-- place is returned. A row without id is about its session: it is paced, and claim_paced.sql claims for it; or busy: an
-- application has locked it, messages of an earlier hold are not settled (wa.settle), or a message was withdrawn since this
-- statement began.
--
-- Messages are not written, because only the holder claims them; all that were taken, and what is in hand, is written to
-- wa.sending.taken. Share-locks the leases, so that a takeover waits for this claim and then knows which messages were
-- claimed; locks the rows of wa.sending; skips what somebody else has locked (R8).
WITH mine AS MATERIALIZED (
    SELECT m.*, EXISTS (SELECT FROM wa.pacing p WHERE p.session_id = m.session_id) AS paced
    FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::smallint[], $6::bigint[], $7::integer[], $8::integer[])
             AS m (session_id, epoch, room, after_rank, after_id, hand_from, hand_to)
    -- Whether the session has any.
    WHERE (SELECT true FROM wa.outbound_queue q WHERE q.session_id = m.session_id AND q.waits_for IS NULL ORDER BY q.rank, q.id LIMIT 1)
), held AS MATERIALIZED (
    SELECT mine.*, l.unsettled
    FROM mine JOIN wa.lease l USING (session_id, epoch) JOIN wa.session s USING (session_id) JOIN wa.tenant t USING (tenant)
    WHERE l.holder = $1 AND s.paused_at IS NULL AND t.paused_at IS NULL
), leased AS MATERIALIZED (
    SELECT l.session_id FROM held JOIN wa.lease l USING (session_id, epoch)
    WHERE l.holder = $1 AND NOT l.unsettled AND NOT held.paced FOR SHARE OF l SKIP LOCKED
), locked AS MATERIALIZED (
    SELECT b.session_id, b.withdrawals FROM leased JOIN wa.sending b USING (session_id) FOR UPDATE OF b SKIP LOCKED
), open AS MATERIALIZED (
    SELECT held.* FROM locked JOIN held USING (session_id) JOIN wa.sending seen USING (session_id)
    WHERE seen.withdrawals = locked.withdrawals
), read AS MATERIALIZED (
    SELECT open.session_id, q.rank, q.id, q.chat, q.expires_at, q.id NOT IN (SELECT unnest($9::bigint[])) AS fresh
    FROM open CROSS JOIN LATERAL (
        SELECT q.rank, q.id, q.chat, q.expires_at FROM wa.outbound_queue q
        WHERE q.session_id = open.session_id AND q.waits_for IS NULL AND (q.rank, q.id) > (open.after_rank, open.after_id)
        ORDER BY q.rank, q.id LIMIT open.room
    ) q
    WHERE open.after_rank IS NOT NULL
), page AS MATERIALIZED (
    SELECT r.session_id, r.rank, r.id, r.chat, r.expires_at, true AS looked,
           r.fresh AND (r.session_id, r.chat) NOT IN (SELECT * FROM unnest($10::bigint[] || $13::bigint[], $11::text[] || $14::text[])) AS free
    FROM read r
    UNION ALL
    SELECT lane.session_id, q.rank, q.id, q.chat, q.expires_at, false, q.id NOT IN (SELECT unnest($9::bigint[]))
    FROM unnest($10::bigint[], $11::text[]) AS lane (session_id, chat) JOIN open USING (session_id)
    CROSS JOIN LATERAL (
        SELECT q.rank, q.id, q.chat, q.expires_at FROM wa.outbound_queue q
        WHERE q.session_id = lane.session_id AND q.chat = lane.chat AND q.waits_for IS NULL
        ORDER BY q.chat, q.id LIMIT $12
    ) q
    WHERE (lane.session_id, lane.chat) NOT IN (SELECT * FROM unnest($13::bigint[], $14::text[]))
), placed AS MATERIALIZED (
    SELECT p.*, before.id AS before,
           p.free AND NOT EXISTS (
               SELECT FROM wa.outbound_queue w
               WHERE w.session_id = p.session_id AND w.chat = p.chat AND w.id < p.id
                 AND w.waits_for IN ('retry', 'paced', 'quiet_hours', 'first_contact')) AS took
    FROM page p LEFT JOIN LATERAL (
        SELECT e.id FROM wa.outbound_queue e
        WHERE e.session_id = p.session_id AND e.chat = p.chat AND e.id < p.id AND e.waits_for IS NULL
        ORDER BY e.chat DESC, e.id DESC LIMIT 1
    ) before ON p.free
), quick AS MATERIALIZED (
    -- The commit does not wait for the disk. If the server crashes before this is written, the worker still has the
    -- messages, and their outcome is written as always; if the worker dies too, the messages are queued, and that
    -- attempt is not counted.
    SELECT set_config('synchronous_commit', 'off', true)
), booked AS (
    UPDATE wa.sending b SET taken = ($9::bigint[])[open.hand_from:open.hand_to] || t.ids
    FROM (SELECT session_id, array_agg(id) AS ids FROM placed WHERE took GROUP BY session_id) t JOIN open USING (session_id) CROSS JOIN quick
    WHERE b.session_id = t.session_id
)
SELECT p.session_id AS "session_id!", p.id AS "id?", p.rank AS "rank?", p.chat AS "chat?", p.before AS "before?", p.looked AS "looked!", p.took AS "took!",
       o.kind AS "kind?", o.body, o.content, o.message_id AS "message_id?", o.attempts AS "attempts?",
       -- From an infinite time nothing can be subtracted.
       extract(epoch FROM CASE WHEN isfinite(p.expires_at) THEN p.expires_at - now() END)::float8 AS expires_in,
       CASE WHEN o.id IS NOT NULL THEN (SELECT c.seconds FROM wa.chat_timer c WHERE c.session_id = p.session_id AND c.chat = o.chat AND c.seconds > 0) END AS timer,
       false AS "paced!", false AS "busy!"
FROM placed p
-- A look-up each, not a join: for a join the planner may read the whole table.
LEFT JOIN LATERAL (SELECT * FROM wa.outbound o WHERE o.id = p.id AND o.status IN ('queued', 'sending') LIMIT 1) o ON p.took
UNION ALL
SELECT h.session_id, NULL, NULL, NULL, NULL, false, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, h.paced, NOT h.paced
FROM held h WHERE h.session_id NOT IN (SELECT session_id FROM open)
ORDER BY "session_id!", "looked!", "rank?", "id?"

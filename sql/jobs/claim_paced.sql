-- Claims messages of paced sessions; claim_outbound.sql claims those of all others. For the sessions $2 under their epochs
-- $3, held by worker $1: at most $4 (one number for each session) and at most $9 in all. The messages themselves are not written, because only the holder
-- claims them. The messages that it has claimed ($10 session ids, $11 ids, and those of this claim) are written to
-- wa.sending.
--
-- Messages come from two sides. Each session with a $5 that is not null is read from its mark on ($5 negative
-- priority, $6 id), $7 rows at most; and the lanes (session, chat) $12, $13 are asked for their first messages. A lane
-- gives at most $8, and the lanes $14, $15 give none.
--
-- A message goes only when the messages before it in its lane went, or are claimed, or go with it, so the order holds
-- across retries, restarts and holders (Q6). A message that is scheduled for later, or paused with its campaign, holds
-- back nothing. A lane is as urgent as its most urgent message. Paused sessions and tenants give nothing, paced
-- sessions as many as their pacing allows (Q13); the next message of a paced session gets the reason and the time
-- until which it waits. A session gives nothing while an application has locked its row of wa.sending, by a transaction
-- that has cancelled a message or set the pacing, or while messages of an earlier hold are not settled (wa.settle).
--
-- A row without id is about a session that was read: how far, whether there may be more, and whether messages were
-- passed over that become free when a lane ends; or in how many seconds a paced session may go on; or that a message of
-- this claim is the first to a chat (met_at, for wa.numbers); or that somebody else has locked the session. Share-locks
-- the leases, so that a takeover waits for this claim and then knows which messages were claimed; locks the rows of
-- wa.sending and the messages that begin to wait. Skips what somebody else has locked, so that one session never holds
-- up the others (R8).
WITH mine AS MATERIALIZED (
    SELECT m.* FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::smallint[], $6::bigint[])
                        AS m (session_id, epoch, room, after_rank, after_id)
    -- Whether the session has any.
    WHERE (SELECT true FROM wa.outbound_queue q WHERE q.session_id = m.session_id AND q.waits_for IS NULL ORDER BY q.rank, q.id LIMIT 1)
), held AS MATERIALIZED (
    SELECT mine.*
    FROM mine
    JOIN wa.lease l USING (session_id, epoch)
    JOIN wa.session s USING (session_id)
    JOIN wa.tenant t USING (tenant)
    WHERE l.holder = $1 AND NOT l.unsettled AND s.paused_at IS NULL AND t.paused_at IS NULL
    FOR SHARE OF l SKIP LOCKED
), locked AS MATERIALIZED (
    SELECT held.*, b AS books
    FROM held JOIN wa.sending b USING (session_id)
    FOR UPDATE OF b SKIP LOCKED
), open AS MATERIALIZED (
    -- A row of wa.sending that changed after this statement began to look may mean that a message was withdrawn that
    -- this statement still sees.
    SELECT locked.session_id, locked.epoch, locked.after_rank, locked.after_id, locked.books, p AS pacing,
           p.session_id IS NOT NULL AS paced, coalesce(p.typing, false) AS typing,
           pace.reason, pace.tokens, least(locked.room, pace.quota) AS most,
           coalesce(pace.quota < locked.room, false) AS tight,
           CASE WHEN p.first_contacts IS NOT NULL THEN wa.contacts_left(p, locked.books) END AS contacts
    FROM locked
    JOIN wa.sending seen USING (session_id)
    LEFT JOIN wa.pacing p USING (session_id)
    LEFT JOIN LATERAL wa.pace(p, locked.books) pace ON p.session_id IS NOT NULL
    WHERE seen.withdrawals = (locked.books).withdrawals AND coalesce(pace.quota, 0) >= 0
), hand AS MATERIALIZED (
    SELECT * FROM unnest($10::bigint[], $11::bigint[]) AS h (session_id, id)
), page AS MATERIALIZED (
    SELECT open.session_id, open.epoch, open.most, open.tight, open.typing, open.contacts, o.*
    FROM open CROSS JOIN LATERAL (
        SELECT q.id, q.chat, q.rank, q.expires_at
        FROM wa.outbound_queue q
        WHERE q.session_id = open.session_id AND q.waits_for IS NULL AND (q.rank, q.id) > (open.after_rank, open.after_id)
        ORDER BY q.rank, q.id
        LIMIT $7
    ) o
    WHERE open.after_rank IS NOT NULL
), asked AS MATERIALIZED (
    SELECT open.session_id, open.epoch, open.most, open.tight, open.typing, open.contacts, o.*
    FROM unnest($12::bigint[], $13::text[]) AS lane (session_id, chat)
    JOIN open USING (session_id)
    CROSS JOIN LATERAL (
        SELECT q.id, q.chat, q.rank, q.expires_at
        FROM wa.outbound_queue q
        WHERE q.session_id = lane.session_id AND q.chat = lane.chat AND q.waits_for IS NULL
        ORDER BY q.chat, q.id
        LIMIT $8
    ) o
), seen AS MATERIALIZED (
    SELECT * FROM (
        SELECT * FROM asked
        UNION ALL
        SELECT * FROM page WHERE id NOT IN (SELECT id FROM asked)
    ) s
    WHERE id NOT IN (SELECT id FROM hand)
      AND (session_id, chat) NOT IN (SELECT * FROM unnest($14::bigint[], $15::text[]))
), linked AS (
    SELECT seen.*, before.id AS before
    FROM seen LEFT JOIN LATERAL (
        SELECT e.id FROM wa.outbound_queue e
        WHERE e.session_id = seen.session_id AND e.chat = seen.chat AND e.id < seen.id
          AND (e.waits_for IS NULL OR e.waits_for NOT IN ('scheduled', 'paused'))
        ORDER BY e.chat DESC, e.id DESC
        LIMIT 1
    ) before ON true
), placed AS (
    SELECT linked.*,
           row_number() OVER lane AS place,
           bool_or(before IS NOT NULL AND before NOT IN (SELECT id FROM hand) AND before NOT IN (SELECT id FROM seen)) OVER lane AS held_back
    FROM linked
    WINDOW lane AS (PARTITION BY session_id, chat ORDER BY id)
), free AS MATERIALIZED (
    SELECT placed.*,
           min(rank) OVER (PARTITION BY session_id, chat ORDER BY id
                           ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS urgency
    FROM placed
    WHERE place <= $8 AND NOT held_back
), newcomer AS MATERIALIZED (
    SELECT n.session_id, n.id, n.chat,
           row_number() OVER (PARTITION BY n.session_id ORDER BY n.urgency, n.id) > n.contacts AS late
    FROM free n
    WHERE n.contacts IS NOT NULL AND n.place = 1
      AND (SELECT true FROM wa.contacted c WHERE c.session_id = n.session_id AND c.chat = n.chat COLLATE "default") IS NULL
      AND (SELECT true FROM wa.inbox i WHERE i.session_id = n.session_id AND i.chat = n.chat COLLATE "default" LIMIT 1) IS NULL
), run AS MATERIALIZED (
    SELECT free.*, row_number() OVER (PARTITION BY session_id ORDER BY urgency, id) AS turn
    FROM free
    WHERE (session_id, chat) NOT IN (SELECT session_id, chat FROM newcomer WHERE late)
), taken AS MATERIALIZED (
    -- Sessions take turns, so that none starves the others.
    SELECT * FROM run WHERE turn <= most ORDER BY turn, session_id LIMIT $9
), looked AS (
    -- How far each session was read with nothing left that could have gone.
    SELECT session_id, epoch, tight, (array_agg(rank ORDER BY turn DESC) FILTER (WHERE done))[1] AS rank,
           (array_agg(id ORDER BY turn DESC) FILTER (WHERE done))[1] AS id,
           count(*) >= $7 OR NOT bool_and(done) AS more, bool_or(passed) AS passed
    FROM (
        SELECT session_id, epoch, tight, rank, id,
               row_number() OVER walk AS turn, bool_and(went OR NOT ran) OVER walk AS done, NOT ran AND NOT held AS passed
        FROM (
            -- Looked up one by one: the planner expects short lists here, and would join them by comparing all with
            -- all.
            SELECT page.*, id IN (SELECT id FROM run) AS ran, id IN (SELECT id FROM taken) AS went,
                   id IN (SELECT id FROM hand) AS held
            FROM page
        ) marked
        WINDOW walk AS (PARTITION BY session_id ORDER BY rank, id)
    ) walked
    GROUP BY session_id, epoch, tight
), spent AS (
    SELECT open.*, used.ids, coalesce(cardinality(used.ids), 0) AS count, used.new_chats,
           CASE WHEN open.paced AND (blocked.id IS NOT NULL OR (used.ids IS NOT NULL AND (open.pacing).jitter > '0'))
                THEN wa.gate(open.pacing, open.reason, open.tokens - coalesce(cardinality(used.ids), 0)) END AS gate,
           blocked.id AS blocked
    FROM open
    LEFT JOIN (
        SELECT t.session_id, array_agg(t.id) AS ids, count(n.id) AS new_chats
        FROM taken t LEFT JOIN newcomer n USING (session_id, id)
        GROUP BY t.session_id
    ) used USING (session_id)
    LEFT JOIN (SELECT session_id, id FROM run WHERE tight AND turn = most + 1) blocked USING (session_id)
), quick AS MATERIALIZED (
    -- The commit does not wait for the disk. If the server crashes before this is written, the worker still has the
    -- messages, and their outcome is written as always; if the worker dies too, the messages are queued, and that
    -- attempt is not counted.
    SELECT set_config('synchronous_commit', 'off', true)
), booked AS (
    UPDATE wa.sending b
    SET taken = ARRAY(SELECT h.id FROM hand h WHERE h.session_id = s.session_id) || s.ids,
        tokens = CASE WHEN s.paced THEN s.tokens - s.count ELSE b.tokens END,
        counted_at = CASE WHEN s.paced THEN now() ELSE b.counted_at END,
        gate_until = coalesce(s.gate, b.gate_until),
        contacts_on = CASE WHEN s.new_chats > 0 THEN wa.today(s.pacing) ELSE b.contacts_on END,
        contacts_today = CASE WHEN s.new_chats > 0
                              THEN s.new_chats + CASE WHEN b.contacts_on = wa.today(s.pacing) THEN b.contacts_today ELSE 0 END
                              ELSE b.contacts_today END
    FROM spent s CROSS JOIN quick
    WHERE b.session_id = s.session_id AND (s.count > 0 OR s.gate IS NOT NULL)
), met AS (
    INSERT INTO wa.contacted (session_id, chat)
    SELECT t.session_id, t.chat FROM taken t JOIN newcomer n USING (session_id, id)
    ON CONFLICT DO NOTHING
), waiting AS (
    SELECT s.session_id, r.chat, s.blocked AS id, s.reason, s.gate AS until FROM spent s JOIN run r ON r.id = s.blocked
    UNION ALL
    SELECT n.session_id, n.chat, n.id, 'first_contact', wa.tomorrow(open.pacing)
    FROM newcomer n JOIN open USING (session_id) WHERE n.late
), explained AS (
    UPDATE wa.outbound_queue q
    SET waits_for = w.reason, run_at = w.until
    FROM (
        SELECT w.* FROM waiting w JOIN wa.outbound_queue e USING (session_id, chat, id)
        FOR NO KEY UPDATE OF e SKIP LOCKED
    ) w
    WHERE q.session_id = w.session_id AND q.chat = w.chat AND q.id = w.id AND q.waits_for IS NULL
)
SELECT t.session_id AS "session_id!", t.epoch AS "epoch!", t.id, t.chat, o.kind, o.body, o.content, o.message_id, o.attempts,
       -- From an infinite time nothing can be subtracted.
       extract(epoch FROM CASE WHEN isfinite(t.expires_at) THEN t.expires_at - now() END)::float8 AS expires_in, t.typing, NULL::smallint AS rank, NULL::bigint AS seen,
       NULL::boolean AS more, NULL::boolean AS passed, NULL::float8 AS wait, false AS "busy!", t.turn,
       (SELECT c.seconds FROM wa.chat_timer c WHERE c.session_id = t.session_id AND c.chat = o.chat AND c.seconds > 0) AS timer,
       NULL::timestamptz AS met_at
FROM taken t CROSS JOIN LATERAL (SELECT * FROM wa.outbound o WHERE o.id = t.id AND o.status IN ('queued', 'sending') LIMIT 1) o
UNION ALL
SELECT session_id, epoch, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, rank, id, more AND NOT tight, passed, NULL, false, NULL, NULL, NULL
FROM looked
UNION ALL
-- Sessions in which somebody withdrew a message meanwhile: they are read again.
SELECT l.session_id, l.epoch, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, true, NULL, NULL, false, NULL, NULL, NULL
FROM locked l JOIN wa.sending seen USING (session_id)
WHERE l.after_rank IS NOT NULL AND seen.withdrawals <> (l.books).withdrawals
UNION ALL
SELECT s.session_id, s.epoch, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       extract(epoch FROM s.gate - now())::float8, false, NULL, NULL, NULL
FROM spent s WHERE s.gate IS NOT NULL
UNION ALL
SELECT n.session_id, t.epoch, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, now()
FROM newcomer n JOIN taken t USING (session_id, id)
UNION ALL
-- Sessions that somebody else has locked: they are tried again in a moment.
SELECT m.session_id, m.epoch, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, true, NULL, NULL, NULL
FROM mine m
WHERE m.session_id NOT IN (SELECT session_id FROM locked)
  AND EXISTS (SELECT FROM wa.lease l JOIN wa.session s USING (session_id) JOIN wa.tenant t USING (tenant)
              WHERE l.session_id = m.session_id AND l.epoch = m.epoch AND l.holder = $1 AND s.paused_at IS NULL AND t.paused_at IS NULL)
ORDER BY turn

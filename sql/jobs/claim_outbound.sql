-- Takes messages that can go now in hand, for the sessions $2 under their epochs $3, held by worker $1: at most $4 (one
-- number a session) and at most $9 in all. The rows themselves are not written: only the holder takes them, and what it
-- has in hand ($12 session ids, $13 ids, and what this claim adds) is put down in wa.sending.
--
-- Heads of lanes (session, chat) come from two sides: each session whose $5 is not null is looked through from its mark
-- on ($5 negative priority, $6 id), $7 rows at most; and the lanes $10, $11 (session ids, chats), whose last run has
-- ended, go on. With a head come up to $8 - 1 rows that follow it without a gap.
--
-- A lane with a message in hand, or one that waits for its retry, gives nothing, so order holds across retries, restarts
-- and holders (Q6); what is scheduled for later holds back nothing. Paused sessions and tenants give nothing, paced ones
-- what their pacing allows (Q13); of these, the next message shows until when it waits and why.
--
-- A row without id says how far a session was looked through, or in how many seconds a paced one may go on. Share-locks the leases, so that a takeover waits for this
-- claim and then knows what was in hand; locks the rows of wa.sending in the order of sessions, and of wa.outbound those
-- that begin to wait.
WITH mine AS (
    SELECT m.* FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::bigint[])
                        AS m (session_id, epoch, room, after_rank, after_id)
    WHERE EXISTS (SELECT FROM wa.outbound o WHERE o.session_id = m.session_id AND o.live AND o.waits_for IS NULL)
), held AS MATERIALIZED (
    SELECT mine.*
    FROM mine
    JOIN wa.lease l USING (session_id, epoch)
    JOIN wa.session s USING (session_id)
    JOIN wa.tenant t USING (tenant)
    WHERE l.holder = $1 AND s.paused_at IS NULL AND t.paused_at IS NULL
    FOR SHARE OF l
), locked AS MATERIALIZED (
    SELECT held.*, b AS books
    FROM held JOIN wa.sending b USING (session_id)
    ORDER BY b.session_id
    FOR UPDATE OF b
), open AS MATERIALIZED (
    -- A row of wa.sending that changed after this statement began to look may mean that a message was withdrawn that
    -- this statement still sees.
    SELECT locked.session_id, locked.epoch, locked.after_rank, locked.after_id, locked.books, p AS pacing,
           p.session_id IS NOT NULL AS paced, p.first_contacts IS NOT NULL AS shy, coalesce(p.typing, false) AS typing,
           pace.reason, pace.tokens, least(locked.room, pace.quota) AS most, pace.quota < locked.room AS tight
    FROM locked
    JOIN wa.sending seen USING (session_id)
    LEFT JOIN wa.pacing p USING (session_id)
    LEFT JOIN LATERAL wa.pace(p, locked.books) pace ON p.session_id IS NOT NULL
    WHERE seen.withdrawals = (locked.books).withdrawals AND coalesce(pace.quota, 0) >= 0
), in_hand AS MATERIALIZED (
    SELECT * FROM unnest($12::bigint[], $13::bigint[]) AS h (session_id, id)
), visited AS MATERIALIZED (
    SELECT open.session_id, v.*
    FROM open CROSS JOIN LATERAL (
        SELECT o.id, o.chat, -o.priority AS rank, o.status
        FROM wa.outbound o
        WHERE o.session_id = open.session_id AND o.live AND o.waits_for IS NULL
          AND (-o.priority, o.id) > (open.after_rank, open.after_id)
        ORDER BY -o.priority, o.id
        LIMIT $7
    ) v
    WHERE open.after_rank IS NOT NULL
), head AS (
    SELECT v.session_id, v.chat, v.id, v.rank
    FROM visited v
    WHERE NOT EXISTS (
        SELECT FROM wa.outbound earlier
        WHERE earlier.session_id = v.session_id AND earlier.chat = v.chat AND earlier.live AND earlier.id < v.id
          AND earlier.waits_for IS DISTINCT FROM 'scheduled'
    )
    UNION
    SELECT lane.session_id, lane.chat, first.id, first.rank
    FROM unnest($10::bigint[], $11::text[]) AS lane (session_id, chat)
    JOIN open USING (session_id)
    CROSS JOIN LATERAL (
        SELECT o.id, -o.priority AS rank, o.waits_for
        FROM wa.outbound o
        WHERE o.session_id = lane.session_id AND o.chat = lane.chat AND o.live
          AND o.waits_for IS DISTINCT FROM 'scheduled'
        ORDER BY o.id
        LIMIT 1
    ) first
    WHERE first.waits_for IS NULL
), idle AS MATERIALIZED (
    SELECT * FROM head WHERE NOT EXISTS (SELECT FROM in_hand h WHERE h.session_id = head.session_id AND h.id = head.id)
    ORDER BY rank, id
    LIMIT $9
), newcomer AS (
    SELECT n.session_id, n.id, n.chat,
           row_number() OVER (PARTITION BY n.session_id ORDER BY n.rank, n.id) > wa.contacts_left(open.pacing, open.books) AS late
    FROM idle n JOIN open USING (session_id)
    WHERE open.shy
      AND NOT EXISTS (SELECT FROM wa.contacted c WHERE c.session_id = n.session_id AND c.chat = n.chat)
      AND NOT EXISTS (SELECT FROM wa.inbox i WHERE i.session_id = n.session_id AND i.chat = n.chat)
), run AS (
    SELECT idle.session_id, idle.chat, idle.rank, idle.id AS head_id, next.*,
           row_number() OVER (PARTITION BY idle.session_id ORDER BY idle.rank, idle.id, next.id) AS turn
    FROM idle CROSS JOIN LATERAL (
        SELECT o.id, o.kind, o.body, o.message_id, o.attempts, o.expires_at,
               bool_or(o.waits_for IS NOT NULL) OVER (ORDER BY o.id) AS gap
        FROM wa.outbound o
        WHERE o.session_id = idle.session_id AND o.chat = idle.chat AND o.live AND o.id >= idle.id
          AND o.waits_for IS DISTINCT FROM 'scheduled'
        ORDER BY o.id
        LIMIT greatest(1, least($8, $9 / (SELECT count(*) FROM idle)))
    ) next
    WHERE NOT next.gap
      AND NOT EXISTS (SELECT FROM newcomer n WHERE n.session_id = idle.session_id AND n.id = idle.id AND n.late)
), taken AS MATERIALIZED (
    -- Sessions take turns, so that none starves the others.
    SELECT run.* FROM run JOIN open USING (session_id)
    WHERE run.turn <= open.most ORDER BY run.turn, run.session_id LIMIT $9
), spent AS (
    SELECT open.*, used.ids, coalesce(cardinality(used.ids), 0) AS count, used.new_chats,
           CASE WHEN open.paced AND (blocked.id IS NOT NULL OR (used.ids IS NOT NULL AND (open.pacing).jitter > '0'))
                THEN wa.gate(open.pacing, open.reason, open.tokens - coalesce(cardinality(used.ids), 0)) END AS gate,
           blocked.id AS blocked
    FROM open
    LEFT JOIN (
        SELECT t.session_id, array_agg(t.id) AS ids,
               count(DISTINCT t.chat) FILTER (WHERE n.id IS NOT NULL) AS new_chats
        FROM taken t LEFT JOIN newcomer n ON n.session_id = t.session_id AND n.id = t.head_id
        GROUP BY t.session_id
    ) used USING (session_id)
    LEFT JOIN run blocked
        ON blocked.session_id = open.session_id AND open.paced AND open.tight AND blocked.turn = open.most + 1
), booked AS (
    UPDATE wa.sending b
    SET taken = ARRAY(SELECT h.id FROM in_hand h WHERE h.session_id = s.session_id) || s.ids,
        tokens = CASE WHEN s.paced THEN s.tokens - s.count ELSE b.tokens END,
        counted_at = CASE WHEN s.paced THEN now() ELSE b.counted_at END,
        gate_until = coalesce(s.gate, b.gate_until),
        contacts_on = CASE WHEN s.new_chats > 0 THEN wa.today(s.pacing) ELSE b.contacts_on END,
        contacts_today = CASE WHEN s.new_chats > 0
                              THEN s.new_chats + CASE WHEN b.contacts_on = wa.today(s.pacing) THEN b.contacts_today ELSE 0 END
                              ELSE b.contacts_today END
    FROM spent s
    WHERE b.session_id = s.session_id AND (s.count > 0 OR s.gate IS NOT NULL)
), met AS (
    INSERT INTO wa.contacted (session_id, chat)
    SELECT DISTINCT t.session_id, t.chat FROM taken t JOIN newcomer n ON n.session_id = t.session_id AND n.id = t.head_id
    ON CONFLICT DO NOTHING
), told AS (
    UPDATE wa.outbound o
    SET waits_for = w.reason, run_at = w.until
    FROM (
        SELECT s.session_id, s.blocked AS id, s.reason, s.gate AS until FROM spent s WHERE s.blocked IS NOT NULL
        UNION ALL
        SELECT n.session_id, n.id, 'first_contact', wa.tomorrow(open.pacing)
        FROM newcomer n JOIN open USING (session_id) WHERE n.late
    ) w
    WHERE o.session_id = w.session_id AND o.id = w.id AND o.status = 'queued' AND o.waits_for IS NULL
)
SELECT t.session_id AS "session_id!", open.epoch AS "epoch!", t.id, t.chat, t.kind, t.body, t.message_id, t.attempts,
       extract(epoch FROM t.expires_at - now())::float8 AS expires_in, open.typing, NULL::integer AS rank, NULL::bigint AS seen,
       NULL::float8 AS wait, t.turn
FROM taken t JOIN open USING (session_id)
UNION ALL
SELECT v.session_id, open.epoch, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       (array_agg(v.rank ORDER BY v.rank DESC, v.id DESC))[1], (array_agg(v.id ORDER BY v.rank DESC, v.id DESC))[1], NULL, NULL
FROM visited v JOIN open USING (session_id)
GROUP BY v.session_id, open.epoch
HAVING count(*) >= $7
UNION ALL
SELECT s.session_id, s.epoch, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, extract(epoch FROM s.gate - now())::float8, NULL
FROM spent s WHERE s.gate IS NOT NULL
ORDER BY turn

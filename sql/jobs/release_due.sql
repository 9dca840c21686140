-- Releases messages whose run_at has come, of the sessions $1, at most $2 of each. Returns how many, and the seconds
-- until the next run_at (0 when the limit left some). Locks those rows of wa.outbound_queue; skips rows that somebody else
-- has locked, or whose campaign, and then asks to be run again in a moment.
WITH mine AS (
    -- The sessions.
    SELECT * FROM unnest($1::bigint[]) AS m (session_id)
), waited AS MATERIALIZED (
    -- Messages whose moment has come.
    SELECT mine.session_id, w.chat, w.id
    FROM mine CROSS JOIN LATERAL (
        SELECT w.chat, w.id FROM wa.outbound_queue w
        WHERE w.session_id = mine.session_id AND w.waits_for IS NOT NULL AND w.waits_for <> 'paused' AND w.run_at <= now()
        ORDER BY w.run_at
        LIMIT $2
    ) w
), free AS MATERIALIZED (
    -- Those that nobody else has locked.
    SELECT q.session_id, q.chat, q.id, q.campaign FROM wa.outbound_queue q JOIN waited w USING (session_id, chat, id)
    WHERE q.waits_for <> 'paused' AND q.run_at <= now()
    FOR NO KEY UPDATE OF q SKIP LOCKED
), campaign AS MATERIALIZED (
    -- Their campaigns, paused or not; null while somebody is pausing or resuming it.
    SELECT c.session_id, c.campaign, wa.is_paused_now(c.session_id, c.campaign) AS paused
    FROM (SELECT DISTINCT session_id, campaign FROM free WHERE campaign IS NOT NULL) c
), due AS (
    -- The released messages. One that was in hand when its campaign was paused is held back now.
    UPDATE wa.outbound_queue q SET waits_for = CASE WHEN c.paused THEN 'paused'::wa.wait_reason END, run_at = CASE WHEN c.paused THEN now() END
    FROM free LEFT JOIN campaign c USING (session_id, campaign)
    WHERE q.session_id = free.session_id AND q.chat = free.chat AND q.id = free.id
      AND (free.campaign IS NULL OR c.paused IS NOT NULL
           -- Nobody has paused a campaign without a row.
           OR NOT EXISTS (SELECT FROM wa.campaign k WHERE k.session_id = free.session_id AND k.campaign = free.campaign))
    RETURNING q.session_id
), next AS (
    -- The next run_at that has not come yet.
    SELECT min(next.run_at) AS run_at
    FROM mine CROSS JOIN LATERAL (
        SELECT w.run_at FROM wa.outbound_queue w
        WHERE w.session_id = mine.session_id AND w.waits_for IS NOT NULL AND w.waits_for <> 'paused' AND w.run_at > now()
        ORDER BY w.run_at
        LIMIT 1
    ) next
)
SELECT (SELECT count(*) FROM due) AS "gone!",
       CASE WHEN EXISTS (SELECT FROM due GROUP BY session_id HAVING count(*) >= $2) THEN 0
            WHEN (SELECT count(*) FROM waited) > (SELECT count(*) FROM due) THEN 0.2
            -- From an infinite time nothing can be subtracted.
            ELSE (SELECT extract(epoch FROM CASE WHEN isfinite(run_at) THEN run_at - now() END)::float8 FROM next) END AS wait

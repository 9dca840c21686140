-- Releases messages whose run_at has come, of the sessions $1, at most $2 of each. Returns how many, and the seconds
-- until the next run_at (0 when the limit left some). Locks those rows.
WITH mine AS (
    -- The sessions.
    SELECT * FROM unnest($1::bigint[]) AS m (session_id)
), due AS (
    -- The released messages.
    UPDATE wa.outbound o
    SET waits_for = NULL
    FROM mine CROSS JOIN LATERAL (
        SELECT w.id FROM wa.outbound w
        WHERE w.session_id = mine.session_id AND w.live AND w.waits_for IS NOT NULL AND w.waits_for <> 'paused' AND w.run_at <= now()
        ORDER BY w.run_at
        LIMIT $2
    ) w
    WHERE o.session_id = mine.session_id AND o.id = w.id AND o.live AND o.waits_for <> 'paused' AND o.run_at <= now()
    RETURNING o.session_id
), next AS (
    -- The next run_at that has not come yet.
    SELECT min(next.run_at) AS run_at
    FROM mine CROSS JOIN LATERAL (
        SELECT w.run_at FROM wa.outbound w
        WHERE w.session_id = mine.session_id AND w.live AND w.waits_for IS NOT NULL AND w.waits_for <> 'paused' AND w.run_at > now()
        ORDER BY w.run_at
        LIMIT 1
    ) next
)
SELECT (SELECT count(*) FROM due) AS "gone!",
       CASE WHEN EXISTS (SELECT FROM due GROUP BY session_id HAVING count(*) >= $2) THEN 0
            ELSE extract(epoch FROM (SELECT run_at FROM next) - now())::float8 END AS wait

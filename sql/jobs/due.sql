-- Ends the waiting of messages whose moment has come, of the sessions $1, at most $2 of each. Returns how many, and how
-- many seconds there are until the next one's moment (0 when some had to stay behind). Locks those rows.
WITH mine AS (
    SELECT * FROM unnest($1::bigint[]) AS m (session_id)
), due AS (
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

-- Counts the waiting messages of each campaign, and those that are failed now. Reads the queue, and of what failed an index; writes
-- wa.campaign_waiting, which workers alone write.
WITH counted AS MATERIALIZED (
    -- The counts.
    SELECT m.session_id, m.campaign, sum(m.waiting)::bigint AS waiting, sum(m.held)::bigint AS held, sum(m.failed)::bigint AS failed
    FROM (
        SELECT q.session_id, q.campaign, count(*) AS waiting, count(*) FILTER (WHERE q.waits_for = 'paused') AS held, 0 AS failed
        FROM wa.outbound_queue q WHERE q.campaign IS NOT NULL GROUP BY q.session_id, q.campaign
        UNION ALL
        SELECT f.session_id, f.campaign, 0, 0, count(*)
        FROM wa.outbound_failed f WHERE f.campaign IS NOT NULL GROUP BY f.session_id, f.campaign
    ) m
    GROUP BY m.session_id, m.campaign
), gone AS (
    -- Campaigns of which nothing waits any more and nothing is failed.
    DELETE FROM wa.campaign_waiting w WHERE (w.session_id, w.campaign) NOT IN (SELECT session_id, campaign FROM counted)
)
INSERT INTO wa.campaign_waiting AS w (session_id, campaign, waiting, held, failed)
SELECT session_id, campaign, waiting, held, failed FROM counted ORDER BY session_id, campaign
ON CONFLICT (session_id, campaign) DO UPDATE
SET waiting = excluded.waiting, held = excluded.held, failed = excluded.failed, counted_at = now()

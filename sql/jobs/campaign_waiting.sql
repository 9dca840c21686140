-- Counts the waiting messages of each campaign. Reads the queue; writes wa.campaign_waiting, which workers alone write.
WITH counted AS MATERIALIZED (
    -- The counts.
    SELECT q.session_id, q.campaign, count(*) AS waiting, count(*) FILTER (WHERE q.waits_for = 'paused') AS held
    FROM wa.outbound_queue q WHERE q.campaign IS NOT NULL GROUP BY q.session_id, q.campaign
), gone AS (
    -- Campaigns of which nothing waits any more.
    DELETE FROM wa.campaign_waiting w WHERE (w.session_id, w.campaign) NOT IN (SELECT session_id, campaign FROM counted)
)
INSERT INTO wa.campaign_waiting AS w (session_id, campaign, waiting, held)
SELECT session_id, campaign, waiting, held FROM counted ORDER BY session_id, campaign
ON CONFLICT (session_id, campaign) DO UPDATE SET waiting = excluded.waiting, held = excluded.held, counted_at = now()

-- Deletes up to $1 pauses of campaigns that are older than $2 days and of which no message is left, or with $3 counts
-- them all. Locks the deleted rows; skips rows that are being written.
WITH old AS (
    -- Pauses without a message.
    SELECT p.session_id, p.campaign FROM wa.paused_campaign p
    WHERE p.paused_at < now() - $2::integer * interval '1 day'
      AND NOT EXISTS (SELECT FROM wa.outbound o WHERE o.session_id = p.session_id AND o.campaign = p.campaign)
), gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.paused_campaign p
    USING (
        SELECT session_id, campaign FROM wa.paused_campaign JOIN old USING (session_id, campaign)
        WHERE NOT $3::boolean LIMIT $1 FOR UPDATE OF paused_campaign SKIP LOCKED
    ) AS doomed
    WHERE p.session_id = doomed.session_id AND p.campaign = doomed.campaign
    RETURNING 1
)
SELECT CASE WHEN $3::boolean THEN (SELECT count(*) FROM old) ELSE (SELECT count(*) FROM gone) END AS "count!"

-- Deletes up to $1 campaigns that were paused, or made and not paused, more than $2 days ago and of which no message is
-- left, or with $3 counts them all. Locks the deleted rows; skips rows for which somebody is inserting.
WITH old AS (
    -- Campaigns without a message.
    SELECT c.session_id, c.campaign FROM wa.campaign c
    WHERE coalesce(c.paused_at, c.created_at) < now() - $2::integer * interval '1 day'
      AND NOT EXISTS (SELECT FROM wa.outbound o WHERE o.session_id = c.session_id AND o.campaign = c.campaign)
), gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.campaign c
    USING (
        SELECT session_id, campaign FROM wa.campaign JOIN old USING (session_id, campaign)
        WHERE NOT $3::boolean LIMIT $1 FOR UPDATE OF campaign SKIP LOCKED
    ) AS doomed
    WHERE c.session_id = doomed.session_id AND c.campaign = doomed.campaign
    RETURNING 1
)
SELECT CASE WHEN $3::boolean THEN (SELECT count(*) FROM old) ELSE (SELECT count(*) FROM gone) END AS "count!"

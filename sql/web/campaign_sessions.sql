-- The sessions of campaign $1, of tenant $2 if it is not null, behind the name $4, $5 at most: what happened within $3, and what
-- waits. Reads sums, no messages.
WITH done AS (
    SELECT n.session_id, sum(n.queued) AS begun, sum(n.sent) AS sent, sum(n.delivered) AS delivered, sum(n.read) AS read, sum(n.failed) AS failed
    FROM wa.numbers n
    WHERE n.campaign = $1::text AND n.at >= now() - $3::text::interval
    GROUP BY n.session_id
), waits AS (
    SELECT * FROM wa.campaign_waiting w WHERE w.campaign = $1
), paused AS (
    SELECT * FROM wa.campaign p WHERE p.campaign = $1 AND p.paused_at IS NOT NULL
), each AS (
    SELECT session_id, coalesce(d.begun, 0) AS begun, coalesce(d.sent, 0) AS sent, coalesce(d.delivered, 0) AS delivered,
           coalesce(d.read, 0) AS read, coalesce(d.failed, 0) AS failed, coalesce(w.waiting, 0) AS waiting, p.paused_at
    FROM done d FULL JOIN waits w USING (session_id) FULL JOIN paused p USING (session_id)
)
SELECT s.name AS "name!", s.tenant AS "tenant!", e.begun::bigint AS "begun!", e.sent::bigint AS "sent!", e.delivered::bigint AS "delivered!",
       e.read::bigint AS "read!", e.failed::bigint AS "failed!", e.waiting::bigint AS "waiting!", e.paused_at AS "paused_at?"
FROM each e JOIN wa.session s USING (session_id)
WHERE ($2::text IS NULL OR s.tenant = $2) AND ($4::text IS NULL OR s.name > $4)
ORDER BY s.name LIMIT $5

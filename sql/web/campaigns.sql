-- The last $3 campaigns of which something happened within $2 or something waits, over all their sessions; of them the
-- campaign $1, if it is not null. Reads sums, no messages.
WITH done AS (
    SELECT n.session_id, n.campaign, sum(n.queued) AS begun, sum(n.sent) AS sent, sum(n.delivered) AS delivered, sum(n.read) AS read,
           sum(n.failed) AS failed, sum(n.expired) AS expired, max(n.at) AS last_at
    FROM wa.numbers n
    WHERE n.campaign IS NOT NULL AND n.at >= now() - $2::text::interval AND ($1::text IS NULL OR n.campaign = $1)
    GROUP BY n.session_id, n.campaign
), waits AS (
    SELECT * FROM wa.campaign_waiting w WHERE $1 IS NULL OR w.campaign = $1
), each AS (
    SELECT session_id, campaign, coalesce(d.begun, 0) AS begun, coalesce(d.sent, 0) AS sent, coalesce(d.delivered, 0) AS delivered,
           coalesce(d.read, 0) AS read, coalesce(d.failed, 0) AS failed, coalesce(d.expired, 0) AS expired,
           coalesce(w.waiting, 0) AS waiting, greatest(d.last_at, w.counted_at) AS last_at
    FROM done d FULL JOIN waits w USING (session_id, campaign)
)
SELECT e.campaign AS "campaign!", s.tenant AS "tenant!", count(*) AS "sessions!", sum(e.begun)::bigint AS "begun!", sum(e.sent)::bigint AS "sent!",
       sum(e.delivered)::bigint AS "delivered!", sum(e.read)::bigint AS "read!", sum(e.failed)::bigint AS "failed!",
       sum(e.expired)::bigint AS "expired!", sum(e.waiting)::bigint AS "waiting!", count(p.campaign) AS "paused!", max(e.last_at) AS last_at
FROM each e JOIN wa.session s USING (session_id)
LEFT JOIN wa.campaign p ON p.session_id = e.session_id AND p.campaign = e.campaign AND p.paused_at IS NOT NULL
GROUP BY e.campaign, s.tenant
ORDER BY max(e.last_at) DESC, e.campaign, s.tenant
LIMIT $3

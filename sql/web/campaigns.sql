-- The last $3 campaigns (all without $3) of which something happened within $2, something waits, or the first message was inserted just now, over all their sessions; of them the
-- campaign $1 and the tenant $5, if they are not null. $4: whether to count its sessions. Reads the sums of tenants, a row for each hour, and no messages.
WITH done AS (
    SELECT n.tenant, n.campaign, sum(n.queued) AS begun, sum(n.sent) AS sent, sum(n.delivered) AS delivered, sum(n.read) AS read, sum(n.expired) AS expired,
           max(coalesce(n.last_at, n.at)) AS last_at
    FROM wa.numbers n
    WHERE n.session_id IS NULL AND n.campaign IS NOT NULL AND n.at >= now() - $2::text::interval AND ($1::text IS NULL OR n.campaign = $1)
      AND ($5::text IS NULL OR n.tenant = $5)
    GROUP BY n.tenant, n.campaign
), waits AS (
    SELECT s.tenant, w.campaign, sum(w.waiting) AS waiting, sum(w.failed) AS failed, max(w.counted_at) FILTER (WHERE w.waiting > 0) AS counted_at
    FROM wa.campaign_waiting w JOIN wa.session s USING (session_id)
    WHERE ($1 IS NULL OR w.campaign = $1) AND ($5 IS NULL OR s.tenant = $5)
    GROUP BY s.tenant, w.campaign
), fresh AS (
    -- Counted within a minute.
    SELECT s.tenant, c.campaign, max(c.created_at) AS created_at
    FROM wa.campaign c JOIN wa.session s USING (session_id)
    WHERE c.created_at > now() - interval '5 minutes' AND ($1 IS NULL OR c.campaign = $1) AND ($5 IS NULL OR s.tenant = $5)
    GROUP BY s.tenant, c.campaign
), page AS MATERIALIZED (
    SELECT tenant, campaign, coalesce(d.begun, 0) AS begun, coalesce(d.sent, 0) AS sent, coalesce(d.delivered, 0) AS delivered,
           coalesce(d.read, 0) AS read, coalesce(w.failed, 0) AS failed, coalesce(d.expired, 0) AS expired,
           coalesce(w.waiting, 0) AS waiting, coalesce(d.last_at, w.counted_at, f.created_at) AS last_at, w.counted_at
    FROM done d FULL JOIN waits w USING (tenant, campaign) FULL JOIN fresh f USING (tenant, campaign)
    -- A campaign of long ago is not listed for what failed of it.
    WHERE coalesce(d.last_at, w.counted_at, f.created_at) IS NOT NULL
    -- What waits may go at any moment.
    ORDER BY greatest(d.last_at, w.counted_at, f.created_at) DESC, campaign, tenant
    LIMIT $3
), counted AS (
    -- Not read from the rows: the indexes have it.
    SELECT s.tenant, c.campaign, sum(c.sessions) AS sessions, sum(c.paused) AS paused
    FROM (
        SELECT session_id, campaign, 1 AS sessions, 0 AS paused FROM wa.campaign WHERE $4::boolean AND campaign = ANY (ARRAY(SELECT campaign FROM page))
        UNION ALL
        SELECT session_id, campaign, 0, 1 FROM wa.campaign WHERE $4 AND paused_at IS NOT NULL AND campaign = ANY (ARRAY(SELECT campaign FROM page))
    ) c
    JOIN wa.session s USING (session_id)
    GROUP BY s.tenant, c.campaign
)
SELECT p.campaign AS "campaign!", p.tenant AS "tenant!", coalesce(c.sessions, 0) AS "sessions!", p.begun::bigint AS "begun!", p.sent::bigint AS "sent!",
       p.delivered::bigint AS "delivered!", p.read::bigint AS "read!", p.failed::bigint AS "failed!",
       p.expired::bigint AS "expired!", p.waiting::bigint AS "waiting!", coalesce(c.paused, 0) AS "paused!", p.last_at, p.counted_at AS "counted_at?"
FROM page p LEFT JOIN counted c USING (tenant, campaign)
ORDER BY greatest(p.last_at, p.counted_at) DESC, p.campaign, p.tenant

-- The sessions of campaign $1, of tenant $2 if it is not null, behind the name $4, $5 at most: what happened within $3, what
-- waits, and what is failed now. Reads the sums of these sessions alone, and no messages.
WITH page AS MATERIALIZED (
    SELECT s.session_id, s.name, s.tenant, c.paused_at
    FROM wa.campaign c JOIN wa.session s USING (session_id)
    WHERE c.campaign = $1::text AND ($2::text IS NULL OR s.tenant = $2) AND ($4::text IS NULL OR s.name > $4)
    ORDER BY s.name LIMIT $5
)
SELECT p.name AS "name!", p.tenant AS "tenant!", coalesce(d.sent, 0) AS "sent!", coalesce(d.delivered, 0) AS "delivered!",
       coalesce(d.read, 0) AS "read!", coalesce(w.failed, 0) AS "failed!", coalesce(d.expired, 0) AS "expired!", coalesce(w.waiting, 0) AS "waiting!", p.paused_at AS "paused_at?"
FROM page p
CROSS JOIN LATERAL (
    SELECT sum(n.sent) AS sent, sum(n.delivered) AS delivered, sum(n.read) AS read, sum(n.expired) AS expired
    FROM wa.numbers n
    WHERE n.session_id = p.session_id AND n.tenant IS NULL AND n.campaign = $1 AND n.span = 'hour' AND n.at >= now() - $3::text::interval
) d
LEFT JOIN wa.campaign_waiting w ON w.session_id = p.session_id AND w.campaign = $1
ORDER BY p.name

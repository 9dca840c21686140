-- How many sessions there are of each status, tenant and wish, and how many are paused. What is not counted is null; of
-- tenants the largest.
WITH counted AS (
    SELECT status::text AS status, tenant, desired::text AS desired, count(*) AS sessions,
           count(*) FILTER (WHERE paused_at IS NOT NULL) AS paused
    FROM wa.session GROUP BY status, tenant, desired
)
SELECT 'status' AS "of!", status AS "value!", sum(sessions)::bigint AS "sessions!", sum(paused)::bigint AS "paused!" FROM counted GROUP BY status
UNION ALL
SELECT 'wish', desired, sum(sessions)::bigint, sum(paused)::bigint FROM counted GROUP BY desired
UNION ALL
(SELECT 'tenant', tenant, sum(sessions)::bigint, sum(paused)::bigint FROM counted GROUP BY tenant ORDER BY 3 DESC, tenant LIMIT 12)

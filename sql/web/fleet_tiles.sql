-- How many sessions there are of each status and desired state, of tenant $1 or all; and of each tenant, the largest first. Also how
-- many of them are paused, and whether the tenant is. no_worker: the row says that a worker holds the session, and no live one does.
-- Leases are read as a whole: the planner takes what their policy costs for more than it does, and would look up each.
WITH held AS MATERIALIZED (
    SELECT l.session_id, l.holder FROM wa.lease l WHERE l.holder IS NOT NULL
), counted AS (
    SELECT CASE WHEN w.worker_id IS NULL AND wa.needs_holder(s.status) THEN 'no_worker' ELSE s.status::text END AS status,
           s.tenant, s.desired::text AS desired, count(*) AS sessions, count(*) FILTER (WHERE s.paused_at IS NOT NULL) AS paused
    FROM wa.session s
    LEFT JOIN held l USING (session_id)
    LEFT JOIN wa.worker w ON w.worker_id = l.holder AND w.lease_until > now()
    GROUP BY 1, 2, 3
), chosen AS (
    SELECT * FROM counted WHERE $1::text IS NULL OR tenant = $1
)
SELECT 'status' AS "of!", status AS "value!", sum(sessions)::bigint AS "sessions!", sum(paused)::bigint AS "paused!", false AS "held!" FROM chosen GROUP BY status
UNION ALL
SELECT 'wish', desired, sum(sessions)::bigint, sum(paused)::bigint, false FROM chosen GROUP BY desired
UNION ALL
(SELECT 'tenant', tenant, sum(sessions)::bigint, sum(paused)::bigint, bool_or(t.paused_at IS NOT NULL)
 FROM counted JOIN wa.tenant t USING (tenant) GROUP BY tenant ORDER BY 3 DESC, tenant LIMIT 12)

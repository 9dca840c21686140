-- How many sessions are stuck (see wa.reasons), of tenant $1 or all, among the first $2 that might be: those that are connected as they
-- should be are not asked for. more: there are others that might be.
WITH held AS MATERIALIZED (
    -- See fleet_tiles.sql.
    SELECT l.session_id, l.holder, l.unsettled FROM wa.lease l WHERE l.holder IS NOT NULL
), candidate AS MATERIALIZED (
    SELECT s.name FROM wa.session s
    JOIN wa.tenant t USING (tenant)
    LEFT JOIN held l USING (session_id)
    LEFT JOIN wa.worker w ON w.worker_id = l.holder AND w.lease_until > now()
    WHERE ($1::text IS NULL OR s.tenant = $1)
      AND NOT (s.status = 'connected' AND s.desired = 'connected' AND w.worker_id IS NOT NULL AND s.paused_at IS NULL AND t.paused_at IS NULL
               AND NOT coalesce(l.unsettled, false))
    ORDER BY s.desired <> 'connected' AND s.status <> 'logged_out', s.session_id LIMIT $2::bigint + 1
)
SELECT (SELECT count(*) FROM wa.stuck(ARRAY(SELECT c.name FROM candidate c LIMIT $2))) AS "stuck!",
       (SELECT count(*) FROM candidate) > $2 AS "more!"

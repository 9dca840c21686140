-- A page of sessions, with the reason why each does not send. $1: part of the name, the number or the tenant; $2: status;
-- $3: tenant; $4: worker; $5: "paused", "stuck" or the state that is wanted; $6: after this name; $7: most rows. lost: the row says that a
-- worker holds the session, and no live worker does.
WITH held AS MATERIALIZED (
    -- See fleet_tiles.sql.
    SELECT l.session_id, l.holder, l.unsettled FROM wa.lease l WHERE l.holder IS NOT NULL
), candidate AS MATERIALIZED (
    -- Of the stuck ones: see fleet_stuck.sql.
    SELECT s.name FROM wa.session s
    JOIN wa.tenant t USING (tenant)
    LEFT JOIN held l USING (session_id)
    LEFT JOIN wa.worker w ON w.worker_id = l.holder AND w.lease_until > now()
    WHERE $5::text = 'stuck' AND ($3::text IS NULL OR s.tenant = $3)
      AND NOT (s.status = 'connected' AND s.desired = 'connected' AND w.worker_id IS NOT NULL AND s.paused_at IS NULL AND t.paused_at IS NULL
               AND NOT coalesce(l.unsettled, false))
    ORDER BY s.desired <> 'connected' AND s.status <> 'logged_out', s.session_id LIMIT 10000
), page AS MATERIALIZED (
    SELECT s.session_id, s.name, s.tenant, s.status, s.status_at, s.phone, s.jid, s.paused_at, s.desired,
           w.worker_id IS NULL AND wa.needs_holder(s.status) AS lost
    FROM wa.session s
    LEFT JOIN held l ON l.session_id = s.session_id
    LEFT JOIN wa.worker w ON w.worker_id = l.holder AND w.lease_until > now()
    WHERE ($1::text IS NULL OR strpos(lower(s.name), lower($1)) > 0 OR strpos(lower(s.tenant), lower($1)) > 0
           OR strpos(s.phone, (SELECT nullif(regexp_replace($1, '[^0-9]', '', 'g'), ''))) > 0)
      AND ($2::text IS NULL OR CASE WHEN w.worker_id IS NULL AND wa.needs_holder(s.status) THEN 'no_worker' ELSE s.status::text END = $2)
      AND ($3::text IS NULL OR s.tenant = $3)
      AND ($4::uuid IS NULL OR s.session_id IN (SELECT l.session_id FROM wa.lease l WHERE l.holder = $4))
      AND ($5 IS NULL OR CASE $5 WHEN 'paused' THEN s.paused_at IS NOT NULL WHEN 'stuck' THEN true ELSE s.desired::text = $5 END)
      AND ($5 IS DISTINCT FROM 'stuck' OR s.name IN (SELECT wa.stuck(ARRAY(SELECT c.name FROM candidate c))))
      AND ($6::text IS NULL OR s.name > $6)
    ORDER BY s.name
    LIMIT $7
)
SELECT p.name AS "name!", p.tenant AS "tenant!", p.status::text AS "status!", p.status_at AS "status_at!", p.phone, p.paused_at,
       p.desired::text AS "desired!", p.jid IS NOT NULL AS "linked!", p.lost AS "lost!", w.host AS "host?", r.reasons, coalesce(r.stuck, false) AS "stuck!"
FROM page p
LEFT JOIN wa.reasons(ARRAY(SELECT name FROM page)) r ON r.session = p.name
LEFT JOIN wa.lease l ON l.session_id = p.session_id
LEFT JOIN wa.worker w ON w.worker_id = l.holder
ORDER BY p.name

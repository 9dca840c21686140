-- A page of sessions. $1: part of the name, the number or the tenant; $2: status; $3: tenant; $4: worker; $5: "paused" or
-- the wish; $6: after this name; $7: most rows.
SELECT s.session_id, s.name, s.tenant, s.status::text AS "status!", s.status_reason, s.status_at, s.phone, s.paused_at,
       s.desired::text AS "desired!", s.rest_until, l.holder
FROM wa.session s LEFT JOIN wa.lease l USING (session_id)
WHERE ($1::text IS NULL OR s.name ILIKE '%' || $1 || '%' OR s.phone LIKE '%' || nullif(regexp_replace($1, '\D', '', 'g'), '') || '%' OR s.tenant ILIKE '%' || $1 || '%')
  AND ($2::text IS NULL OR s.status::text = $2)
  AND ($3::text IS NULL OR s.tenant = $3)
  AND ($4::uuid IS NULL OR l.holder = $4)
  AND ($5::text IS NULL OR CASE $5 WHEN 'paused' THEN s.paused_at IS NOT NULL ELSE s.desired::text = $5 END)
  AND ($6::text IS NULL OR s.name > $6)
ORDER BY s.name
LIMIT $7

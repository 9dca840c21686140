-- Sessions to choose among. $1: part of the name, the number or the tenant; $2: after this name; $3: most rows.
SELECT s.name, s.tenant, wa.status_now(s.session_id, s.status) AS "status!", s.phone
FROM wa.session s
WHERE ($1::text IS NULL OR s.name ILIKE '%' || $1 || '%' OR s.phone LIKE '%' || nullif(regexp_replace($1, '\D', '', 'g'), '') || '%' OR s.tenant ILIKE '%' || $1 || '%')
  AND ($2::text IS NULL OR s.name > $2)
ORDER BY s.name
LIMIT $3

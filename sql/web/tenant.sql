-- The pause of tenant $1, if the reader sees it.
SELECT tenant AS "tenant!", paused_at, paused_by::text AS paused_by, paused_reason FROM wa.tenant WHERE tenant = $1

-- The tenants that the caller sees, with their sessions and the roles that see each. Locks nothing.
SELECT t.tenant, t.paused_at, t.paused_reason, t.paused_by, t.created_at,
       (SELECT count(*) FROM wa.session s WHERE s.tenant = t.tenant) AS "sessions!",
       ARRAY(SELECT m.role::text FROM wa.tenant_member m WHERE m.tenant = t.tenant ORDER BY m.role) AS "roles!"
FROM wa.tenant t ORDER BY t.tenant

-- Sessions with status $1 and of tenant $2, or any; with $3 only those for which a person must act. With the reason why
-- each does not send, and the seconds since its status changed. Locks nothing.
SELECT s.name AS "session!", s.tenant AS "tenant!", s.status::text AS "status!", s.status_reason, s.status_at AS "since!",
       extract(epoch FROM now() - s.status_at)::float8 AS "age!", s.desired::text AS "desired!", s.phone,
       r.reason, r.stuck AS "stuck!"
FROM wa.session s JOIN wa.reasons() r ON r.session = s.name
WHERE ($1::text IS NULL OR s.status::text = $1) AND ($2::text IS NULL OR s.tenant = $2) AND (NOT $3::boolean OR r.stuck)
ORDER BY s.name

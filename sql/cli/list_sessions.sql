-- All sessions by name. Locks nothing.
SELECT name, status::text AS "status!", status_reason, status_at, desired::text AS "desired!", phone FROM wa.session ORDER BY name

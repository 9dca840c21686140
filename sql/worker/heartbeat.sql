-- Moves worker $1's lease forward by $2 seconds, unless it has expired (a late worker stays dead), or the database is
-- no longer the same (after a failover or a restore). Returns whether the worker should drain, and when to check its
-- sessions. Locks that row. Each parameter occurs once, so none has a name.
UPDATE wa.worker SET lease_until = now() + $2::float8 * interval '1 second'
WHERE worker_id = $1 AND lease_until > now()
  AND (SELECT (a.system_identifier, a.database_oid, a.timeline) = (h.system_identifier, h.database_oid, h.timeline)
       FROM wa.auth_home a, wa.home() h)
RETURNING draining, check_at

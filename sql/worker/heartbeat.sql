-- Moves worker $1's lease on by $2 seconds, unless it has run out, for a late worker stays dead, or the database is another one
-- than it was (a failover, a restore). Returns whether it was asked to drain, and when to check its sessions. Locks that row.
UPDATE wa.worker SET lease_until = now() + $2::float8 * interval '1 second'
WHERE worker_id = $1 AND lease_until > now()
  AND (SELECT (a.system_identifier, a.database_oid, a.timeline) = (h.system_identifier, h.database_oid, h.timeline)
       FROM wa.auth_home a, wa.home() h)
RETURNING draining, check_at

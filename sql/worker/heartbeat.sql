-- Moves worker $1's lease on by $2 seconds, unless it has run out: a late worker stays dead. Locks that row.
UPDATE wa.worker SET lease_until = now() + $2::float8 * interval '1 second'
WHERE worker_id = $1 AND lease_until > now()

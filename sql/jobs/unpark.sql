-- Says that worker $1 is awake: inserters need not ring. Locks that row.
UPDATE wa.worker SET parked = false WHERE worker_id = $1 AND parked

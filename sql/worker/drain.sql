-- Worker $1 gives its sessions away. Locks that row.
UPDATE wa.worker SET draining = true WHERE worker_id = $1

-- Marks worker $1 as draining: it gives its sessions to others. Locks that row.
UPDATE wa.worker SET draining = true WHERE worker_id = $1

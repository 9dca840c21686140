-- Takes worker $1 off the list, in order; whatever it still held falls free by foreign key. Locks that row.
DELETE FROM wa.worker WHERE worker_id = $1

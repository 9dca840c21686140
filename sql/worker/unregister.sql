-- Takes worker $1 off the list, in order; whatever it still held falls free by foreign key, and others are told, which
-- returns nothing worth reading. Locks that row.
WITH gone AS (DELETE FROM wa.worker WHERE worker_id = $1 RETURNING worker_id)
SELECT pg_notify('wa_work', 'leases') IS NULL AS "told" FROM gone

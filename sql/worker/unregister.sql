-- Removes worker $1; foreign keys release everything that it still held, and the other workers are woken. The row that
-- it returns means nothing. Locks that row.
WITH gone AS (DELETE FROM wa.worker WHERE worker_id = $1 RETURNING worker_id)
SELECT pg_notify('wa_work', 'leases') IS NULL AS announced FROM gone

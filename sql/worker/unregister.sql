-- Ends worker $1 and forgets its process $2: frees everything that it still held, and wakes the other workers. The row
-- that it returns means nothing. Locks the rows of the worker, its process and its leases, and what wa.settle locks;
-- waits for no application.
WITH forgotten AS (
    -- What its process counted.
    DELETE FROM wa.witness WHERE witness = $2
)
SELECT pg_notify('wa_work', 'leases') IS NULL AS announced FROM (SELECT wa.end_worker($1) OFFSET 0) ended

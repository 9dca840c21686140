-- Ends workers whose lease has expired, and those that registered before a restore: their sessions and jobs are free.
-- Skips a worker whose heartbeat is under way, so a live worker is never ended, and leases that somebody has locked.
-- Returns how many workers it found, and whether messages of earlier holds wait to be returned to the queue (settle.sql).
-- Locks the rows of those workers and their leases, and what wa.settle locks; waits for no application.
WITH dead AS MATERIALIZED (
    -- Dead workers.
    SELECT worker_id FROM wa.worker
    WHERE lease_until < now() OR home <> (SELECT k.home FROM wa.auth_home k)
    FOR UPDATE SKIP LOCKED
)
SELECT (SELECT count(wa.end_worker(worker_id)) FROM dead) AS "workers!",
       EXISTS (SELECT FROM wa.lease WHERE unsettled) AS "unsettled!"

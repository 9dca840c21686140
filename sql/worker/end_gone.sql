-- Ends those of the workers $1 whose connection is gone and that have sent no heartbeat for $2 seconds (P6): their sessions
-- and jobs are free. Skips a worker whose heartbeat is under way; one that has come meanwhile counts. Returns how many it
-- found. Locks the rows of those workers and their leases, and what wa.settle locks; waits for no application.
WITH dead AS MATERIALIZED (
    -- Dead workers.
    SELECT w.worker_id FROM wa.worker w
    WHERE w.worker_id = ANY ($1::uuid[]) AND w.beat_at < now() - $2::float8 * interval '1 second' AND wa.has_hung_up(w)
    FOR UPDATE SKIP LOCKED
)
SELECT count(wa.end_worker(worker_id)) AS "workers!" FROM dead

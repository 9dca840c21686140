-- Marks worker $1 as awake: inserters need not ring. The commit does not wait for the disk, as in park.sql. Locks that
-- row.
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE wa.worker SET parked = false FROM quick WHERE worker_id = $1 AND parked

-- Says that worker $1 is awake: inserters need not ring. Locks that row. Nobody waits for the disk, as in park.sql.
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE wa.worker SET parked = false FROM quick WHERE worker_id = $1 AND parked

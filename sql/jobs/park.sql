-- Marks worker $1 as sleeping, so that inserters ring. The commit does not wait for the disk: a server that crashes
-- also drops the worker's connections, and then the worker looks for work by itself. Locks that row.
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE wa.worker SET parked = true FROM quick WHERE worker_id = $1

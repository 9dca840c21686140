-- Says that worker $1 goes to sleep and wants to be rung. Nobody waits for the disk: a server that falls over forgets the
-- worker's connections too, and then it looks anew.
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE wa.worker SET parked = true FROM quick WHERE worker_id = $1

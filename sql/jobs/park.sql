-- Says that worker $1 goes to sleep and wants to be rung. Returns the first transaction id that is surely not running
-- yet: until every older one has ended, an inserter may have looked before this row and commit after our last look.
-- Nobody waits for the disk: a server that falls over forgets the worker's connections too, and then it looks anew.
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
parked AS (UPDATE wa.worker SET parked = true FROM quick WHERE worker_id = $1)
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS "horizon!"

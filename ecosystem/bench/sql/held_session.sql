-- Gives session $1 to a made-up worker.
WITH worker AS (
    INSERT INTO wa.worker (worker_id, host, pid, version, lease_until)
    VALUES (gen_random_uuid(), 'bench', 1, 'bench', now() + interval '1 day') RETURNING worker_id
)
UPDATE wa.lease SET holder = worker_id, epoch = 1 FROM worker WHERE session_id = $1

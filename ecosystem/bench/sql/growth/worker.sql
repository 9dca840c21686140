-- A worker that lives for a day.
INSERT INTO wa.worker (worker_id, host, pid, version, lease_until, max_sessions)
VALUES ($1, 'bench', 1, 'bench', now() + interval '1 day', 100000)

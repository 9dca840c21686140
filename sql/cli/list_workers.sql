-- Live workers, and how many sessions each holds. Locks nothing.
SELECT w.worker_id, w.host, w.pid, w.version, w.started_at, w.lease_until, w.draining, w.max_sessions,
       (SELECT count(*) FROM wa.lease l WHERE l.holder = w.worker_id) AS "sessions!", wa.share(w.worker_id) AS share
FROM wa.worker w ORDER BY w.started_at

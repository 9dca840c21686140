-- Workers, and how many sessions each holds of those that the viewer sees. $1: most rows.
SELECT w.worker_id, w.host, w.pid, w.version, w.started_at, w.lease_until, w.lease_until > now() AS "alive!", w.max_sessions, w.memory_mb,
       w.draining OR r.worker_id IS NOT NULL AS "draining!", coalesce(l.held, 0) AS "held!"
FROM wa.worker w
LEFT JOIN wa.drain_request r USING (worker_id)
LEFT JOIN (SELECT holder, count(*) AS held FROM wa.lease WHERE holder IS NOT NULL GROUP BY holder) l ON l.holder = w.worker_id
ORDER BY w.started_at, w.worker_id
LIMIT $1

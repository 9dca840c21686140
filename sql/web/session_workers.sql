-- The workers that a session can be moved to, with the most room first.
SELECT w.worker_id AS "worker_id!", w.host AS "host!", w.pid AS "pid!", w.max_sessions AS "max_sessions!", coalesce(held.sessions, 0) AS "sessions!"
FROM wa.worker w
LEFT JOIN (SELECT l.holder, count(*) AS sessions FROM wa.lease l GROUP BY l.holder) held ON held.holder = w.worker_id
WHERE w.lease_until > now() AND NOT w.draining
ORDER BY w.max_sessions - coalesce(held.sessions, 0) DESC, w.worker_id LIMIT 30

-- The workers that hold sessions which the reader sees, the fullest first. The policy of leases asks for the session.
SELECT w.worker_id AS "worker_id!", w.host AS "host!", w.pid AS "pid!", held.sessions AS "sessions!"
FROM (
    SELECT l.holder, count(*) AS sessions FROM wa.lease l WHERE l.holder IS NOT NULL GROUP BY l.holder
) held
JOIN wa.worker w ON w.worker_id = held.holder
ORDER BY held.sessions DESC, w.worker_id LIMIT 20

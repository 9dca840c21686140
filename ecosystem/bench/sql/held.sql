-- For each live worker, how many of its sessions are connected and should be.
SELECT (SELECT count(*) FROM wa.lease l JOIN wa.session s USING (session_id)
        WHERE l.holder = w.worker_id AND s.status = 'connected' AND s.desired = 'connected') AS "held!"
FROM wa.worker w WHERE w.lease_until > now()

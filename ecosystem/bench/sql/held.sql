-- How many connected sessions each living worker holds that are to be connected.
SELECT (SELECT count(*) FROM wa.lease l JOIN wa.session s USING (session_id)
        WHERE l.holder = w.worker_id AND s.status = 'connected' AND s.desired = 'connected') AS "held!"
FROM wa.worker w WHERE w.lease_until > now()

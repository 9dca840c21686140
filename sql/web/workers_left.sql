-- Linked sessions that should be connected and that no worker holds.
SELECT count(*) AS "left!"
FROM wa.session s LEFT JOIN wa.lease l USING (session_id)
WHERE s.desired = 'connected' AND s.jid IS NOT NULL AND l.holder IS NULL

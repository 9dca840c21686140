-- Resets the ratchets of a session whose auth state another program has. Share-locks the lease; locks the deleted keys
-- and the credentials.
SELECT wa.reset_ratchets(l.session_id, 'used by another program since ' || a.exported_at::timestamptz(0)) AS "keys!"
FROM wa.lease l JOIN wa.auth a USING (session_id)
WHERE l.session_id = $1 AND l.epoch = $2 AND l.holder IS NOT NULL AND a.exported_at IS NOT NULL
FOR SHARE OF l

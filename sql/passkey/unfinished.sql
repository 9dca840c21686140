-- The unfinished passkey linking of session $1. Locks nothing.
SELECT stage, answer, expires_at <= now() AS "over!"
FROM wa.passkey WHERE session_id = $1 AND stage NOT IN ('done', 'failed')

-- Notes that another program has the auth state of session $1 now; nobody here shall use it by himself. Locks its rows.
WITH fenced AS (
    UPDATE wa.lease SET epoch = epoch + 1 WHERE session_id = $1
), resting AS (
    UPDATE wa.session SET desired = 'stopped' WHERE session_id = $1
)
UPDATE wa.auth SET exported_at = now() WHERE session_id = $1

-- Notes that another program has the auth state of session $1. The new epoch and the wish "stopped" keep workers from
-- using it here. Locks the rows of the session, its lease and its credentials.
WITH fenced AS (
    -- A new epoch, under which no worker holds the session.
    UPDATE wa.lease SET epoch = epoch + 1 WHERE session_id = $1
), resting AS (
    -- The wish, so that no worker connects the session.
    UPDATE wa.session SET desired = 'stopped' WHERE session_id = $1
)
UPDATE wa.auth SET exported_at = now() WHERE session_id = $1

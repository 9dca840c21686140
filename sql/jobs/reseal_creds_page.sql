-- A page of $2 credentials of sessions after $1. Locks nothing.
SELECT session_id, creds FROM wa.auth WHERE session_id > $1 ORDER BY session_id LIMIT $2

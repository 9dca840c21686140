-- Reads the credentials of a session. Locks nothing.
SELECT creds FROM wa.auth WHERE session_id = $1;

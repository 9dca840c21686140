-- The credentials of a session, and whether they were given to another program. Locks nothing.
SELECT creds, exported_at IS NOT NULL AS "exported!" FROM wa.auth WHERE session_id = $1;

-- Reads one key. Locks nothing.
SELECT value FROM wa.auth_key WHERE session_id = $1 AND kind = $2 AND key_id = $3;

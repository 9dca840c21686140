-- Reads all keys of one kind. Locks nothing.
SELECT key_id, value FROM wa.auth_key WHERE session_id = $1 AND kind = $2 ORDER BY key_id;

-- Reads those keys of one kind that exist, by id. Locks nothing.
SELECT key_id, value FROM wa.auth_key WHERE session_id = $1 AND kind = $2 AND key_id = ANY($3) ORDER BY key_id;

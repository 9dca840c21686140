-- A page of $4 keys after the one of session $1, kind $2 and id $3. Locks nothing.
SELECT session_id, kind, key_id, value FROM wa.auth_key
WHERE (session_id, kind, key_id) > ($1, $2, $3) ORDER BY session_id, kind, key_id LIMIT $4

-- The LID mapping that was written last for a phone number. Locks nothing.
SELECT key_id, value FROM wa.auth_key
WHERE session_id = $1 AND kind = 'lid-mapping' AND value->>'pn' = $2
ORDER BY updated_at DESC LIMIT 1;

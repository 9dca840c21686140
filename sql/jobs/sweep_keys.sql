-- Deletes up to $1 keys whose time to live has passed. Locks those rows; skips what is being written.
DELETE FROM wa.auth_key k
USING (
    SELECT session_id, kind, key_id FROM wa.auth_key
    WHERE expires_at < now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
) AS expired
WHERE k.session_id = expired.session_id AND k.kind = expired.kind AND k.key_id = expired.key_id

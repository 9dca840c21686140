-- The id of the app-state sync key that was written last. Locks nothing.
SELECT key_id FROM wa.auth_key WHERE session_id = $1 AND kind = 'app-state-sync-key' ORDER BY updated_at DESC LIMIT 1;

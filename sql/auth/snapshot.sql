-- The whole auth state of session $1: credentials as the kind creds, then the keys. Locks nothing.
SELECT 'creds' AS "kind!", '' AS "key_id!", creds AS "value!", NULL::timestamptz AS expires_at FROM wa.auth WHERE session_id = $1
UNION ALL
SELECT kind, key_id, value, expires_at FROM wa.auth_key WHERE session_id = $1

-- The highest pre-key id, 0 without any; ids that are not numbers do not count. Locks nothing.
SELECT coalesce(max(CASE WHEN key_id ~ '^[0-9]{1,10}$' THEN key_id::bigint END), 0) AS "id!"
FROM wa.auth_key WHERE session_id = $1 AND kind = 'pre-key';

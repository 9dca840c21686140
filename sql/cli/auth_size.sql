-- Amount of auth state of session $1 or of all, largest first. Locks nothing.
SELECT session AS "session!", kind AS "kind!", keys AS "keys!", bytes AS "bytes!", with_deadline AS "with_deadline!", next_deadline, updated_at
FROM wa.auth_size WHERE $1::text IS NULL OR session = $1 ORDER BY session, bytes DESC

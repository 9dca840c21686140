-- Deletes one key and returns its value, so that only one of two callers gets it. Share-locks the lease; locks the
-- row.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    -- The written rows.
    DELETE FROM wa.auth_key k USING held
    WHERE k.session_id = held.session_id AND k.kind = $3 AND k.key_id = $4
    RETURNING k.value
)
SELECT (SELECT count(*) FROM held) AS "held!", (SELECT value FROM written) AS "value";

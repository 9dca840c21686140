-- Deletes all keys of one kind. Share-locks the lease; locks the rows deleted.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    -- The written rows.
    DELETE FROM wa.auth_key k USING held
    WHERE k.session_id = held.session_id AND k.kind = $3
    RETURNING 1
)
SELECT (SELECT count(*) FROM held) AS "held!", (SELECT count(*) FROM written) AS "affected!";

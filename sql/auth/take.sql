-- Deletes one key and gives back what it was, so that of two callers one alone gets it. Share-locks the lease row; locks the row.
WITH lease AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    DELETE FROM wa.auth_key k USING lease
    WHERE k.session_id = lease.session_id AND k.kind = $3 AND k.key_id = $4
    RETURNING k.value
)
SELECT (SELECT count(*) FROM lease) AS "held!", (SELECT value FROM written) AS "value";

-- Deletes the keys of one kind with from <= id < until, which is how a prefix is asked for. Share-locks the lease row; locks the rows deleted.
WITH lease AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    DELETE FROM wa.auth_key k USING lease
    WHERE k.session_id = lease.session_id AND k.kind = $3 AND k.key_id >= $4 AND k.key_id < $5
    RETURNING 1
)
SELECT (SELECT count(*) FROM lease) AS "held!", (SELECT count(*) FROM written) AS "affected!";

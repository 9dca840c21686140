-- Deletes the credentials and every key of a session. Share-locks the lease row; locks all rows deleted.
WITH lease AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    DELETE FROM wa.auth_key k USING lease WHERE k.session_id = lease.session_id RETURNING 1
), unlinked AS (
    DELETE FROM wa.auth a USING lease WHERE a.session_id = lease.session_id RETURNING 1
)
SELECT (SELECT count(*) FROM lease) AS "held!",
       (SELECT count(*) FROM written) + (SELECT count(*) FROM unlinked) AS "affected!";

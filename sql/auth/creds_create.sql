-- Writes the credentials of a device that is not linked yet, unless the session has some. Share-locks the lease row.
WITH lease AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    INSERT INTO wa.auth (session_id, creds) SELECT lease.session_id, $3 FROM lease
    ON CONFLICT (session_id) DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM lease) AS "held!", (SELECT count(*) FROM written) AS "affected!";

-- Writes the credentials of a device that is not linked yet, unless the session has some. Share-locks the lease.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    -- The written rows.
    INSERT INTO wa.auth (session_id, creds, home)
    SELECT held.session_id, $3, (SELECT k.home FROM wa.auth_home k) FROM held
    ON CONFLICT (session_id) DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM held) AS "held!", (SELECT count(*) FROM written) AS "affected!";

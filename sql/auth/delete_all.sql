-- Deletes the credentials and every key of a session. Share-locks the lease; locks all rows deleted.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    -- The deleted keys.
    DELETE FROM wa.auth_key k USING held WHERE k.session_id = held.session_id RETURNING 1
), unlinked AS (
    -- The deleted credentials.
    DELETE FROM wa.auth a USING held WHERE a.session_id = held.session_id RETURNING 1
)
SELECT (SELECT count(*) FROM held) AS "held!",
       (SELECT count(*) FROM written) + (SELECT count(*) FROM unlinked) AS "affected!";

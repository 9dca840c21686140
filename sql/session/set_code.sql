-- Shows pairing code $3 of session $1 for $4 seconds, under epoch $2; with a null code removes it, for reason $5, and
-- lets the session be linked by QR code. Share-locks the lease; locks the session's row, without waiting.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), own AS (
    -- The session's row. An error at once when an application has locked it: the worker tries again later, and holds
    -- meanwhile neither the lease nor a connection (R8).
    SELECT session_id FROM wa.session WHERE session_id = $1 FOR NO KEY UPDATE NOWAIT
), written AS (
    -- The session.
    UPDATE wa.session s
    SET code = $3, code_expires_at = now() + $4::float8 * interval '1 second', status_reason = $5, status_code = wa.status_code($5),
        link_phone = CASE WHEN $3::text IS NULL THEN NULL ELSE s.link_phone END
    FROM held JOIN own USING (session_id) WHERE s.session_id = held.session_id
)
SELECT EXISTS (SELECT FROM held) AS "held!"

-- Writes a status of a session, and its QR code. Share-locks the lease; locks the session's row, without waiting.
-- Returns whether the epoch still holds.
WITH input (session_id, epoch, status, reason, qr, qr_seconds) AS NOT MATERIALIZED (
    -- Not materialized, so that the planner sees constants.
    -- qr: the text of the code, valid for qr_seconds; null for none.
    SELECT $1::bigint, $2::bigint, ($3::text)::wa.session_status, $4::text, $5::text, $6::float8
), held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease JOIN input USING (session_id, epoch) WHERE holder IS NOT NULL FOR SHARE OF lease
), own AS (
    -- The session's row. An error at once when an application has locked it: the worker tries again later, and holds
    -- meanwhile neither the lease nor a connection (R8).
    SELECT session_id FROM wa.session WHERE session_id = $1 FOR NO KEY UPDATE NOWAIT
), written AS (
    -- The session.
    UPDATE wa.session s
    SET status = input.status, status_reason = input.reason,
        -- The reason of the last end may be that of the next connection, too.
        status_code = CASE WHEN input.reason = s.status_reason THEN s.status_code ELSE wa.status_code(input.reason) END,
        qr = input.qr, qr_expires_at = now() + input.qr_seconds * interval '1 second'
    FROM held JOIN own USING (session_id) JOIN input USING (session_id) WHERE s.session_id = held.session_id
)
SELECT EXISTS (SELECT FROM held) AS "held!"

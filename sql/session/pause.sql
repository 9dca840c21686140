-- Pauses the sending of session $1, under epoch $2, for the reason $3, and adds an event, unless it is paused already.
-- paused_by stays null: no role has asked for it.
-- Share-locks the lease; locks the session's row, without waiting.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), own AS (
    -- The session's row. An error at once when an application has locked it: the worker tries again later, and holds
    -- meanwhile neither the lease nor a connection (R8).
    SELECT session_id FROM wa.session WHERE session_id = $1 FOR NO KEY UPDATE NOWAIT
), paused AS (
    -- The session, unless it was paused already.
    UPDATE wa.session s SET paused_at = now(), paused_reason = $3
    FROM held JOIN own USING (session_id) WHERE s.session_id = held.session_id AND s.paused_at IS NULL
    RETURNING s.session_id, s.name
)
INSERT INTO wa.event (session, session_id, kind, data)
SELECT name, session_id, 'session_paused', jsonb_build_object('reason', $3::text) FROM paused

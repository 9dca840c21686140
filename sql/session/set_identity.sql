-- Writes the identity of session $1, under epoch $2: phone $3, JID $4, LID $5. Share-locks the lease; locks the
-- session's row, without waiting.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), own AS (
    -- The session's row. An error at once when an application has locked it: the worker tries again later, and holds
    -- meanwhile neither the lease nor a connection (R8).
    SELECT session_id FROM wa.session WHERE session_id = $1 FOR NO KEY UPDATE NOWAIT
), written AS (
    -- The session.
    UPDATE wa.session s SET phone = $3, jid = $4, lid = $5
    FROM held JOIN own USING (session_id) WHERE s.session_id = held.session_id
)
SELECT EXISTS (SELECT FROM held) AS "held!"

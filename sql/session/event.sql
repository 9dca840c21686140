-- Adds an event of session $1 under epoch $2: kind $3, data $4. Share-locks the lease. Returns whether the epoch still
-- holds.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), event AS (
    -- The event.
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT s.name, s.session_id, $3, $4 FROM held JOIN wa.session s USING (session_id)
)
SELECT EXISTS (SELECT FROM held) AS "held!"

-- Puts an item of session $1, which the database refused, into the quarantine under epoch $2, and adds an event: where
-- it was to be written $3, the SQLSTATE $4, the error $5, the item $6. Share-locks the lease. Returns whether the epoch
-- still holds.
WITH held AS (
    -- The lease, if the session is still held under this epoch, and the session's name.
    SELECT l.session_id, s.name
    FROM wa.lease l JOIN wa.session s USING (session_id)
    WHERE l.session_id = $1 AND l.epoch = $2 AND l.holder IS NOT NULL
    FOR SHARE OF l
), kept AS (
    -- The item.
    INSERT INTO wa.quarantine (session, session_id, source, code, reason, data)
    SELECT held.name, held.session_id, $3, $4, $5, $6 FROM held
    RETURNING id, session, session_id, source, code
), event AS (
    -- The event.
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT kept.session, kept.session_id, 'item_quarantined', jsonb_build_object('id', kept.id, 'source', kept.source, 'code', kept.code)
    FROM kept
)
SELECT EXISTS (SELECT FROM held) AS "held!"

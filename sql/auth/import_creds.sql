-- Writes the imported credentials $2 of session $1, and its identity: phone $3, JID $4, LID $5. Locks the session's
-- row.
WITH written AS (
    -- The credentials.
    INSERT INTO wa.auth (session_id, creds, imported_at, home) VALUES ($1, $2, now(), wa.current_home())
)
UPDATE wa.session
SET phone = $3, jid = $4, lid = $5, status = 'disconnected', status_reason = 'imported', status_code = 'imported'
WHERE session_id = $1

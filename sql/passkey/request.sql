-- Stores the passkey request $3 that WhatsApp made for session $1, under epoch $2; it is valid for $4 seconds. It
-- replaces an earlier linking of the session and deletes its keys. Share-locks the lease; locks the row and the key.
WITH held AS (
    -- The lease, if the session is still held under this epoch, and the session's name.
    SELECT s.session_id, s.name FROM wa.lease l JOIN wa.session s USING (session_id)
    WHERE l.session_id = $1 AND l.epoch = $2 AND l.holder IS NOT NULL FOR SHARE OF l
), cleared AS (
    -- The keys of an earlier linking.
    DELETE FROM wa.auth_key k USING held WHERE k.session_id = held.session_id AND k.kind = 'passkey'
), written AS (
    -- The new linking.
    INSERT INTO wa.passkey (session_id, session, request, expires_at)
    SELECT session_id, name, $3, now() + $4::float8 * interval '1 second' FROM held
    ON CONFLICT (session_id) DO UPDATE
    SET stage = 'requested', request = EXCLUDED.request, answer = NULL, code = NULL, error = NULL,
        requested_at = now(), expires_at = EXCLUDED.expires_at, updated_at = now()
)
SELECT EXISTS (SELECT FROM held) AS "held!"

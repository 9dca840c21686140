-- WhatsApp demands a passkey for session $1, under epoch $2: request $3, good for $4 seconds. An earlier linking of this
-- session is void, and so are its keys. Share-locks the lease; locks the row and the key.
WITH held AS (
    SELECT s.session_id, s.name FROM wa.lease l JOIN wa.session s USING (session_id)
    WHERE l.session_id = $1 AND l.epoch = $2 AND l.holder IS NOT NULL FOR SHARE OF l
), void AS (
    DELETE FROM wa.auth_key k USING held WHERE k.session_id = held.session_id AND k.kind = 'passkey'
), written AS (
    INSERT INTO wa.passkey (session_id, session, request, expires_at)
    SELECT session_id, name, $3, now() + $4::float8 * interval '1 second' FROM held
    ON CONFLICT (session_id) DO UPDATE
    SET stage = 'requested', request = EXCLUDED.request, answer = NULL, code = NULL, error = NULL,
        requested_at = now(), expires_at = EXCLUDED.expires_at, updated_at = now()
)
SELECT EXISTS (SELECT FROM held) AS "held!"

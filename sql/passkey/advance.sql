-- The linking with a passkey of session $1, under epoch $2, is at stage $3, with code $4, or failed with error $5; then its
-- keys go. Share-locks the lease; locks the row and the key.
WITH held AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), void AS (
    DELETE FROM wa.auth_key k USING held WHERE k.session_id = held.session_id AND k.kind = 'passkey' AND $3 = 'failed'
), written AS (
    UPDATE wa.passkey p SET stage = $3, code = $4, error = $5, answer = NULL, updated_at = now()
    FROM held WHERE p.session_id = held.session_id AND p.stage NOT IN ('done', 'failed')
)
SELECT EXISTS (SELECT FROM held) AS "held!"

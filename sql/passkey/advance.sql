-- Sets the stage $3 of the passkey linking of session $1, under epoch $2, with code $4; when it failed, with error $5,
-- and deletes its keys. Share-locks the lease; locks the row and the key.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), cleared AS (
    -- The keys of a linking that failed.
    DELETE FROM wa.auth_key k USING held WHERE k.session_id = held.session_id AND k.kind = 'passkey' AND $3 = 'failed'
), written AS (
    -- The linking at its new stage.
    UPDATE wa.passkey p SET stage = $3, code = $4, error = $5, answer = NULL, updated_at = now()
    FROM held WHERE p.session_id = held.session_id AND p.stage NOT IN ('done', 'failed')
)
SELECT EXISTS (SELECT FROM held) AS "held!"

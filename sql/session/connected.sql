-- Marks session $1 as connected, under epoch $2, and its passkey linking, if any, as done. Share-locks the lease;
-- locks the rows of the session and the linking, and the deleted key.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    -- The session.
    UPDATE wa.session s
    SET status = 'connected', status_reason = NULL, connected_at = now(), failures = 0, rest_until = NULL, link_phone = NULL,
        bad_macs = 0, bad_decrypts = 0
    FROM held WHERE s.session_id = held.session_id
), done AS (
    -- The linking that is done.
    UPDATE wa.passkey p SET stage = 'done', answer = NULL, updated_at = now()
    FROM held WHERE p.session_id = held.session_id AND p.stage NOT IN ('done', 'failed')
), cleared AS (
    -- Its keys, which nobody needs any more.
    DELETE FROM wa.auth_key k USING held WHERE k.session_id = held.session_id AND k.kind = 'passkey'
)
SELECT EXISTS (SELECT FROM held) AS "held!"

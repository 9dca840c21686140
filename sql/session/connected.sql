-- Marks session $1 as connected, under epoch $2, and its passkey linking, if any, as done. What waited to connect it is
-- superseded: a reconnect after a rest or a ban, and a connect that is due or was tried. failures stays until the
-- connection has proven itself (steady.sql) and is returned, with whether WhatsApp limited the account. Share-locks the lease; locks the session's row, without
-- waiting, then those jobs, the linking, and the deleted key.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), own AS (
    -- The session's row. An error at once when an application has locked it: the worker tries again later, and holds
    -- meanwhile neither the lease nor a connection (R8).
    SELECT session_id FROM wa.session WHERE session_id = $1 FOR NO KEY UPDATE NOWAIT
), written AS (
    -- The session.
    UPDATE wa.session s
    SET status = 'connected', status_reason = NULL, status_code = NULL, connected_at = now(), rest_until = NULL, link_phone = NULL,
        bad_macs = 0, bad_decrypts = 0
    FROM held JOIN own USING (session_id) WHERE s.session_id = held.session_id
    RETURNING s.session_id, s.failures, s.limit_reason
), superseded AS (
    -- The jobs that are no longer needed. After the session's row, as whoever queues one.
    UPDATE wa.session_job j
    SET status = 'cancelled', finished_at = now(), last_error = 'superseded: the session is connected'
    FROM written
    WHERE j.session_id = written.session_id AND j.status = 'queued'
      AND (j.kind = 'reconnect' OR j.kind = 'connect' AND (j.started_at IS NOT NULL OR j.run_at <= now()))
), done AS (
    -- The linking that is done.
    UPDATE wa.passkey p SET stage = 'done', answer = NULL, updated_at = now()
    FROM held WHERE p.session_id = held.session_id AND p.stage NOT IN ('done', 'failed')
), cleared AS (
    -- Its keys, which nobody needs any more.
    DELETE FROM wa.auth_key k USING held WHERE k.session_id = held.session_id AND k.kind = 'passkey'
)
SELECT EXISTS (SELECT FROM held) AS "held!", coalesce((SELECT failures FROM written), 0) AS "failures!",
       EXISTS (SELECT FROM written WHERE limit_reason IS NOT NULL) AS "limited!"

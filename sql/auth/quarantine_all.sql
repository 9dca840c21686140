-- Moves the credentials and all keys of session $1 into the quarantine with reason $3, under epoch $2, and adds an
-- event: the session has to be linked again. Share-locks the lease; locks all rows moved.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), keys AS (
    -- The keys, removed from their table.
    DELETE FROM wa.auth_key k USING held WHERE k.session_id = held.session_id RETURNING k.session_id, k.kind, k.key_id, k.value, k.expires_at
), creds AS (
    -- The credentials, removed from their table.
    DELETE FROM wa.auth a USING held WHERE a.session_id = held.session_id RETURNING a.session_id, a.creds
), kept AS (
    -- All of them in the quarantine.
    INSERT INTO wa.auth_quarantine (session_id, kind, key_id, value, reason, key_expires_at)
    SELECT session_id, kind, key_id, value, $3::text, expires_at FROM keys
    UNION ALL SELECT session_id, 'creds', '', creds, $3, NULL FROM creds
    RETURNING 1
), event AS (
    -- The event.
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT s.name, s.session_id, 'auth_quarantined',
           jsonb_build_object('reason', $3::text, 'keys', (SELECT count(*) FROM kept), 'advice', 'link the session again (wa.link), or take the auth state back if WhatsApp accepts the device again (wa.restore_auth)')
    FROM held JOIN wa.session s USING (session_id)
)
SELECT (SELECT count(*) FROM held) AS "held!", (SELECT count(*) FROM kept) AS "affected!"

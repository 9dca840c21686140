-- Moves the credentials and all keys of session $1 into the quarantine, with reason $3, under epoch $2, and tells that it
-- has to be linked anew. Share-locks the lease row; locks all rows moved.
WITH lease AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), keys AS (
    DELETE FROM wa.auth_key k USING lease WHERE k.session_id = lease.session_id RETURNING k.session_id, k.kind, k.key_id, k.value
), creds AS (
    DELETE FROM wa.auth a USING lease WHERE a.session_id = lease.session_id RETURNING a.session_id, a.creds
), kept AS (
    INSERT INTO wa.auth_quarantine (session_id, kind, key_id, value, reason)
    SELECT session_id, kind, key_id, value, $3::text FROM keys
    UNION ALL SELECT session_id, 'creds', '', creds, $3 FROM creds
    RETURNING 1
), told AS (
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT s.name, s.session_id, 'auth_quarantined',
           jsonb_build_object('reason', $3::text, 'keys', (SELECT count(*) FROM kept), 'advice', 'link the session anew: wa.link')
    FROM lease JOIN wa.session s USING (session_id)
)
SELECT (SELECT count(*) FROM lease) AS "held!", (SELECT count(*) FROM kept) AS "affected!"

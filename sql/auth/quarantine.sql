-- Moves a key that cannot be read into the quarantine with reason $6, unless its value is no longer $5, and adds an
-- event. Share-locks the lease; locks the row of the key.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), taken AS (
    -- The key, removed from its table.
    DELETE FROM wa.auth_key k USING held
    WHERE k.session_id = held.session_id AND k.kind = $3 AND k.key_id = $4 AND k.value = $5
    RETURNING k.session_id, k.kind, k.key_id, k.value
), kept AS (
    -- The same in the quarantine.
    INSERT INTO wa.auth_quarantine (session_id, kind, key_id, value, reason)
    SELECT session_id, kind, key_id, value, $6 FROM taken
    RETURNING id
), event AS (
    -- The event.
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT s.name, taken.session_id, 'key_quarantined',
           jsonb_build_object('id', kept.id, 'kind', taken.kind, 'key_id', taken.key_id, 'reason', $6::text)
    FROM taken CROSS JOIN kept JOIN wa.session s USING (session_id)
)
SELECT (SELECT count(*) FROM held) AS "held!", (SELECT count(*) FROM taken) AS "affected!";

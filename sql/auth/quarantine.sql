-- Moves a key that cannot be read into the quarantine, with the reason $6, unless it is another value than $5 by now, and
-- tells of it. Share-locks the lease row; locks the key's row.
WITH lease AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), taken AS (
    DELETE FROM wa.auth_key k USING lease
    WHERE k.session_id = lease.session_id AND k.kind = $3 AND k.key_id = $4 AND k.value = $5
    RETURNING k.session_id, k.kind, k.key_id, k.value
), kept AS (
    INSERT INTO wa.auth_quarantine (session_id, kind, key_id, value, reason)
    SELECT session_id, kind, key_id, value, $6 FROM taken
    RETURNING id
), told AS (
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT s.name, taken.session_id, 'key_quarantined',
           jsonb_build_object('id', kept.id, 'kind', taken.kind, 'key_id', taken.key_id, 'reason', $6::text)
    FROM taken CROSS JOIN kept JOIN wa.session s USING (session_id)
)
SELECT (SELECT count(*) FROM lease) AS "held!", (SELECT count(*) FROM taken) AS "affected!";

-- Notes for devices of a group whether they have our sender key; other devices keep theirs. Share-locks the lease row; locks the group's row.
WITH lease AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    INSERT INTO wa.auth_key AS k (session_id, kind, key_id, value)
    SELECT lease.session_id, 'sender-key-memory', $3, $4 FROM lease
    ON CONFLICT (session_id, kind, key_id) DO UPDATE
    SET value = CASE jsonb_typeof(k.value) WHEN 'object' THEN k.value || EXCLUDED.value ELSE EXCLUDED.value END,
        updated_at = EXCLUDED.updated_at
    RETURNING 1
)
SELECT (SELECT count(*) FROM lease) AS "held!", (SELECT count(*) FROM written) AS "affected!";

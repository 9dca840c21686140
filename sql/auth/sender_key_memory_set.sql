-- Notes for devices of a group whether they have our sender key; the entries of other devices stay. Share-locks the
-- lease; locks the group's row.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    -- The written rows.
    INSERT INTO wa.auth_key AS k (session_id, kind, key_id, value)
    SELECT held.session_id, 'sender-key-memory', $3, $4 FROM held
    ON CONFLICT (session_id, kind, key_id) DO UPDATE
    SET value = CASE jsonb_typeof(k.value) WHEN 'object' THEN k.value || EXCLUDED.value ELSE EXCLUDED.value END,
        updated_at = EXCLUDED.updated_at
    RETURNING 1
)
SELECT (SELECT count(*) FROM held) AS "held!", (SELECT count(*) FROM written) AS "affected!";

-- Writes message secrets. Of two deadlines the later one stays (null is the latest), and so does the later time of the
-- message. Share-locks the lease; locks the rows in the order given.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    -- The written rows.
    INSERT INTO wa.auth_key AS k (session_id, kind, key_id, value, expires_at)
    SELECT held.session_id, 'message-secret', item.key_id, item.value, item.expires_at
    FROM held, unnest($3::text[], $4::jsonb[], $5::timestamptz[]) AS item (key_id, value, expires_at)
    ON CONFLICT (session_id, kind, key_id) DO UPDATE
    SET value = EXCLUDED.value || jsonb_build_object('timestamp',
            greatest((k.value->>'timestamp')::bigint, (EXCLUDED.value->>'timestamp')::bigint)),
        expires_at = CASE WHEN k.expires_at IS NULL OR EXCLUDED.expires_at IS NULL THEN NULL
                          ELSE greatest(k.expires_at, EXCLUDED.expires_at) END,
        updated_at = EXCLUDED.updated_at
    RETURNING 1
)
SELECT (SELECT count(*) FROM held) AS "held!", (SELECT count(*) FROM written) AS "affected!";

-- Writes message secrets; of two deadlines the later stays (none is the latest), and so does the later time of the message. Share-locks the lease row; locks the rows in the order given.
WITH lease AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    INSERT INTO wa.auth_key AS k (session_id, kind, key_id, value, expires_at)
    SELECT lease.session_id, 'message-secret', item.key_id, item.value, item.expires_at
    FROM lease, unnest($3::text[], $4::jsonb[], $5::timestamptz[]) AS item (key_id, value, expires_at)
    ON CONFLICT (session_id, kind, key_id) DO UPDATE
    SET value = EXCLUDED.value || jsonb_build_object('timestamp',
            greatest((k.value->>'timestamp')::bigint, (EXCLUDED.value->>'timestamp')::bigint)),
        expires_at = CASE WHEN k.expires_at IS NULL OR EXCLUDED.expires_at IS NULL THEN NULL
                          ELSE greatest(k.expires_at, EXCLUDED.expires_at) END,
        updated_at = EXCLUDED.updated_at
    RETURNING 1
)
SELECT (SELECT count(*) FROM lease) AS "held!", (SELECT count(*) FROM written) AS "affected!";

-- Writes keys of one kind, new or not, with a time to live of $6 seconds (null: for ever). Share-locks the lease;
-- locks the rows in the order given.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    -- The written rows.
    INSERT INTO wa.auth_key AS k (session_id, kind, key_id, value, expires_at)
    SELECT held.session_id, $3, item.key_id, item.value, clock_timestamp() + make_interval(secs => $6)
    FROM held, unnest($4::text[], $5::jsonb[]) AS item (key_id, value)
    ON CONFLICT (session_id, kind, key_id) DO UPDATE
    SET value = EXCLUDED.value, expires_at = EXCLUDED.expires_at, updated_at = EXCLUDED.updated_at
    RETURNING 1
)
SELECT (SELECT count(*) FROM held) AS "held!", (SELECT count(*) FROM written) AS "affected!";

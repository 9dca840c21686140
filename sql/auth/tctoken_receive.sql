-- Stores a token that a contact gave us, unless a newer one is stored; senderTimestamp stays. Share-locks the lease;
-- locks the contact's row.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    -- The written rows.
    INSERT INTO wa.auth_key AS k (session_id, kind, key_id, value, expires_at)
    SELECT held.session_id, 'tctoken', $3, $4, clock_timestamp() + make_interval(secs => $5) FROM held
    ON CONFLICT (session_id, kind, key_id) DO UPDATE
    SET value = k.value || (EXCLUDED.value - 'senderTimestamp'), expires_at = EXCLUDED.expires_at, updated_at = EXCLUDED.updated_at
    WHERE jsonb_typeof(k.value) = 'object'
      AND (coalesce(k.value #>> '{token,data}', '') IN ('', '[]')
           OR (EXCLUDED.value->>'timestamp')::bigint >= coalesce((k.value->>'timestamp')::bigint, 0))
    RETURNING 1
)
SELECT (SELECT count(*) FROM held) AS "held!", (SELECT count(*) FROM written) AS "affected!";

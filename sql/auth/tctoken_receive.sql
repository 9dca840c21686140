-- Stores a token that a contact gave us unless a newer one is there, and leaves senderTimestamp alone. Share-locks the lease row; locks the contact's row.
WITH lease AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    INSERT INTO wa.auth_key AS k (session_id, kind, key_id, value, expires_at)
    SELECT lease.session_id, 'tctoken', $3, $4, clock_timestamp() + make_interval(secs => $5) FROM lease
    ON CONFLICT (session_id, kind, key_id) DO UPDATE
    SET value = k.value || (EXCLUDED.value - 'senderTimestamp'), expires_at = EXCLUDED.expires_at, updated_at = EXCLUDED.updated_at
    WHERE jsonb_typeof(k.value) = 'object'
      AND (coalesce(k.value #>> '{token,data}', '') IN ('', '[]')
           OR (EXCLUDED.value->>'timestamp')::bigint >= coalesce((k.value->>'timestamp')::bigint, 0))
    RETURNING 1
)
SELECT (SELECT count(*) FROM lease) AS "held!", (SELECT count(*) FROM written) AS "affected!";

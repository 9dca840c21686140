-- Forgets devices in every group. Share-locks the lease; locks the rows of the groups that knew one of them.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    -- The written rows.
    UPDATE wa.auth_key k SET value = k.value - $3::text[], updated_at = clock_timestamp()
    FROM held
    WHERE k.session_id = held.session_id AND k.kind = 'sender-key-memory'
      AND jsonb_typeof(k.value) = 'object' AND k.value ?| $3
    RETURNING 1
)
SELECT (SELECT count(*) FROM held) AS "held!", (SELECT count(*) FROM written) AS "affected!";

-- Deletes tokens of contacts where the token is older than $3 (or empty) and our own is older than $4 (or none).
-- Share-locks the lease; locks the rows deleted.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    -- The written rows.
    DELETE FROM wa.auth_key k USING held
    WHERE k.session_id = held.session_id AND k.kind = 'tctoken' AND jsonb_typeof(k.value) = 'object'
      AND (coalesce(k.value #>> '{token,data}', '') IN ('', '[]') OR coalesce((k.value->>'timestamp')::bigint < $3, true))
      AND coalesce((k.value->>'senderTimestamp')::bigint < $4, true)
    RETURNING 1
)
SELECT (SELECT count(*) FROM held) AS "held!", (SELECT count(*) FROM written) AS "affected!";

-- Deletes tokens of contacts when both the token is older than $3 (or empty) and our own is older than $4 (or none). Share-locks the lease row; locks the rows deleted.
WITH lease AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    DELETE FROM wa.auth_key k USING lease
    WHERE k.session_id = lease.session_id AND k.kind = 'tctoken' AND jsonb_typeof(k.value) = 'object'
      AND (coalesce(k.value #>> '{token,data}', '') IN ('', '[]') OR coalesce((k.value->>'timestamp')::bigint < $3, true))
      AND coalesce((k.value->>'senderTimestamp')::bigint < $4, true)
    RETURNING 1
)
SELECT (SELECT count(*) FROM lease) AS "held!", (SELECT count(*) FROM written) AS "affected!";

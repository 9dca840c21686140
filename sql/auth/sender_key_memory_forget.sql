-- Forgets devices in every group. Share-locks the lease row; locks the rows of the groups that knew one of them.
WITH lease AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    UPDATE wa.auth_key k SET value = k.value - $3::text[], updated_at = clock_timestamp()
    FROM lease
    WHERE k.session_id = lease.session_id AND k.kind = 'sender-key-memory'
      AND jsonb_typeof(k.value) = 'object' AND k.value ?| $3
    RETURNING 1
)
SELECT (SELECT count(*) FROM lease) AS "held!", (SELECT count(*) FROM written) AS "affected!";

-- Writes keys of one kind, new or not, which then live for $6 seconds (null: for ever). Share-locks the lease row; locks the rows in the order given.
WITH lease AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    INSERT INTO wa.auth_key AS k (session_id, kind, key_id, value, expires_at)
    SELECT lease.session_id, $3, item.key_id, item.value, clock_timestamp() + make_interval(secs => $6)
    FROM lease, unnest($4::text[], $5::jsonb[]) AS item (key_id, value)
    ON CONFLICT (session_id, kind, key_id) DO UPDATE
    SET value = EXCLUDED.value, expires_at = EXCLUDED.expires_at, updated_at = EXCLUDED.updated_at
    RETURNING 1
)
SELECT (SELECT count(*) FROM lease) AS "held!", (SELECT count(*) FROM written) AS "affected!";

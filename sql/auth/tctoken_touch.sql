-- Moves the time at which we last gave a contact our token on, never back; a contact not known yet gets a row without a token. Share-locks the lease row; locks the contact's row.
WITH lease AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    INSERT INTO wa.auth_key AS k (session_id, kind, key_id, value, expires_at)
    SELECT lease.session_id, 'tctoken', $3, $4, clock_timestamp() + make_interval(secs => $5) FROM lease
    ON CONFLICT (session_id, kind, key_id) DO UPDATE
    SET value = k.value || jsonb_build_object('senderTimestamp',
            greatest((k.value->>'senderTimestamp')::bigint, (EXCLUDED.value->>'senderTimestamp')::bigint)),
        expires_at = EXCLUDED.expires_at, updated_at = EXCLUDED.updated_at
    WHERE jsonb_typeof(k.value) = 'object'
    RETURNING 1
)
SELECT (SELECT count(*) FROM lease) AS "held!", (SELECT count(*) FROM written) AS "affected!";

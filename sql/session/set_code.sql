-- Session $1 shows pairing code $3 for $4 seconds, under epoch $2; or, when that is null, none any more, for reason $5, and
-- is to be linked by QR code. Share-locks the lease.
WITH held AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    UPDATE wa.session s
    SET code = $3, code_expires_at = now() + $4::float8 * interval '1 second', status_reason = $5,
        link_phone = CASE WHEN $3::text IS NULL THEN NULL ELSE s.link_phone END
    FROM held WHERE s.session_id = held.session_id
)
SELECT EXISTS (SELECT FROM held) AS "held!"

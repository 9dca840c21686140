-- Writes status $3 with reason $4 of session $1 under epoch $2; QR text $5, good for $6 seconds, or none. Share-locks
-- the lease. Returns whether the epoch still holds.
WITH held AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    UPDATE wa.session s
    SET status = ($3::text)::wa.session_status, status_reason = $4,
        qr = $5, qr_expires_at = now() + $6::float8 * interval '1 second'
    FROM held WHERE s.session_id = held.session_id
)
SELECT EXISTS (SELECT FROM held) AS "held!"

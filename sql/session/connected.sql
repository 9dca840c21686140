-- Session $1 is connected, under epoch $2. Share-locks the lease.
WITH held AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    UPDATE wa.session s
    SET status = 'connected', status_reason = NULL, status_at = now(), connected_at = now(), failures = 0,
        qr = NULL, qr_expires_at = NULL
    FROM held WHERE s.session_id = held.session_id
)
SELECT EXISTS (SELECT FROM held) AS "held!"

-- Gives session $1 back under epoch $2, with status $3 and reason $4. $5: the wish becomes "stopped" too. $6: forgets
-- who it was, after a logout. Locks the lease; whatever waits for it goes on.
WITH freed AS (
    UPDATE wa.lease SET holder = NULL WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL RETURNING session_id
), written AS (
    UPDATE wa.session s
    SET status = ($3::text)::wa.session_status, status_reason = $4, status_at = now(), qr = NULL, qr_expires_at = NULL,
        desired = CASE WHEN $5 THEN 'stopped' ELSE s.desired END::wa.session_wish,
        jid = CASE WHEN $6 THEN NULL ELSE s.jid END, lid = CASE WHEN $6 THEN NULL ELSE s.lid END
    FROM freed WHERE s.session_id = freed.session_id
)
SELECT EXISTS (SELECT FROM freed) AS "held!"

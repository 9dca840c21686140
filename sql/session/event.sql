-- Something happened to session $1 under epoch $2: kind $3, data $4. Share-locks the lease. Returns whether the epoch still holds.
WITH held AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), told AS (
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT s.name, s.session_id, $3, $4 FROM held JOIN wa.session s USING (session_id)
)
SELECT EXISTS (SELECT FROM held) AS "held!"

-- Counts an error of session $1, under epoch $2: $3 is bad_mac (a message) or bad_decrypt (app state). One short of
-- the limit and at the limit it adds an event; below the limit of bad_decrypt it deletes the app-state sync keys,
-- which may be damaged and which the phone sends again. Share-locks the lease; locks the session's row, without waiting,
-- and the deleted keys. Returns whether the epoch still holds, when the error was counted, and, if the session has to be
-- linked again, the reason.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), own AS (
    -- The session's row. An error at once when an application has locked it: the worker tries again later, and holds
    -- meanwhile neither the lease nor a connection (R8).
    SELECT session_id FROM wa.session WHERE session_id = $1 FOR NO KEY UPDATE NOWAIT
), counted AS (
    -- The session with the error counted, and its limit.
    UPDATE wa.session s
    SET bad_macs = s.bad_macs + CASE WHEN $3 = 'bad_mac' THEN 1 ELSE 0 END,
        bad_decrypts = s.bad_decrypts + CASE WHEN $3 = 'bad_decrypt' THEN 1 ELSE 0 END
    FROM held JOIN own USING (session_id) WHERE s.session_id = held.session_id
    RETURNING s.session_id, s.name, s.relink_at_limit,
              CASE WHEN $3 = 'bad_mac' THEN s.bad_macs ELSE s.bad_decrypts END AS errors,
              CASE WHEN $3 = 'bad_mac' THEN s.bad_mac_limit ELSE s.bad_decrypt_limit END AS most
), cleared AS (
    -- App-state sync keys that may be damaged.
    DELETE FROM wa.auth_key k USING counted c
    WHERE k.session_id = c.session_id AND k.kind = 'app-state-sync-key' AND $3 = 'bad_decrypt' AND c.errors < c.most
), event AS (
    -- The event, one short of the limit and at the limit.
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT name, session_id, CASE WHEN errors = most THEN 'crypto_limit' ELSE 'crypto_warning' END,
           jsonb_build_object('error', $3::text, 'errors', errors, 'limit', most)
    FROM counted WHERE errors IN (most - 1, most)
)
SELECT EXISTS (SELECT FROM held) AS "held!", (SELECT now() FROM counted) AS counted_at,
       (SELECT format('%s %s in one connection', errors, CASE WHEN $3 = 'bad_mac' THEN 'Bad MACs' ELSE 'Bad Decrypts' END)
        FROM counted WHERE relink_at_limit AND errors >= most) AS given_up

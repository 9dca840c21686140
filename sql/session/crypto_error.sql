-- Session $1 could not decrypt something, under epoch $2: $3 is bad_mac (a message) or bad_decrypt (app state). Counts it,
-- tells of it one short of the limit and at the limit, and below the limit deletes the keys of app state that may be
-- damaged, which the phone is then asked for. Share-locks the lease. Returns whether the hold still stands, and the
-- reason for which the session is to be given up, if it is.
WITH held AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), counted AS (
    UPDATE wa.session s
    SET bad_macs = s.bad_macs + CASE WHEN $3 = 'bad_mac' THEN 1 ELSE 0 END,
        bad_decrypts = s.bad_decrypts + CASE WHEN $3 = 'bad_decrypt' THEN 1 ELSE 0 END
    FROM held WHERE s.session_id = held.session_id
    RETURNING s.session_id, s.name, s.relink_at_limit,
              CASE WHEN $3 = 'bad_mac' THEN s.bad_macs ELSE s.bad_decrypts END AS errors,
              CASE WHEN $3 = 'bad_mac' THEN s.bad_mac_limit ELSE s.bad_decrypt_limit END AS most
), cleared AS (
    DELETE FROM wa.auth_key k USING counted c
    WHERE k.session_id = c.session_id AND k.kind = 'app-state-sync-key' AND $3 = 'bad_decrypt' AND c.errors < c.most
), told AS (
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT name, session_id, CASE WHEN errors = most THEN 'crypto_limit' ELSE 'crypto_warning' END,
           jsonb_build_object('error', $3::text, 'errors', errors, 'limit', most)
    FROM counted WHERE errors IN (most - 1, most)
)
SELECT EXISTS (SELECT FROM held) AS "held!",
       (SELECT format('%s %s in one connection', errors, CASE WHEN $3 = 'bad_mac' THEN 'Bad MACs' ELSE 'Bad Decrypts' END)
        FROM counted WHERE relink_at_limit AND errors >= most) AS given_up

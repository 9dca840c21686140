-- The credentials of session $1, whether its ratchets may have been used elsewhere (by another program, or before a
-- restore of the database), whether the database was restored or failed over and no heartbeat has noticed it, its proxy (as stored), whether it keeps messages from before its link, and its tenant; null
-- for what is missing. Locks nothing.
SELECT a.creds AS "creds?", p.url AS "proxy?",
       a.exported_at IS NOT NULL OR a.home IS DISTINCT FROM (SELECT k.home FROM wa.auth_home k) AS "ratchets_old!",
       EXISTS (SELECT FROM wa.auth_home k WHERE wa.home_change(k) IS NOT NULL) AS "moved!",
       s.keep_past, s.tenant
FROM wa.session s LEFT JOIN wa.auth a USING (session_id) LEFT JOIN wa.proxy p USING (session_id)
WHERE s.session_id = $1

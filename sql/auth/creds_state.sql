-- The credentials of session $1, whether another program has them, its proxy, and whether it keeps messages from
-- before its link; null for what is missing. Locks nothing.
SELECT a.creds AS "creds?", a.exported_at IS NOT NULL AS "exported!", p.url AS "proxy?",
       s.keep_past
FROM wa.session s LEFT JOIN wa.auth a USING (session_id) LEFT JOIN wa.proxy p USING (session_id)
WHERE s.session_id = $1

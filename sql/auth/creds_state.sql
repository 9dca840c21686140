-- The credentials of a session, whether they were given to another program, the proxy that it talks through, and whether it keeps
-- what was before its link; null for what there is not. Locks nothing.
SELECT a.creds AS "creds?", a.exported_at IS NOT NULL AS "exported!", p.url AS "proxy?",
       s.keep_past
FROM wa.session s LEFT JOIN wa.auth a USING (session_id) LEFT JOIN wa.proxy p USING (session_id)
WHERE s.session_id = $1

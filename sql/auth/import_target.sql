-- The session named $1, for an import: who holds it, its credentials and whether they came from an import that no connection
-- has used since. Locks its lease row, so that no worker takes it meanwhile.
SELECT s.session_id, l.holder IS NOT NULL AS "held!", a.creds AS "creds?", a.imported_at IS NOT NULL AS "unused_import!"
FROM wa.session s JOIN wa.lease l USING (session_id) LEFT JOIN wa.auth a USING (session_id)
WHERE s.name = $1
FOR UPDATE OF l

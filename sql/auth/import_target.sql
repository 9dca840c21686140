-- The session named $1, for an import: whether a worker holds it, its credentials, and whether no connection has used
-- them here since they were imported or exported. Locks its lease, so that no worker takes it meanwhile.
SELECT s.session_id, l.holder IS NOT NULL AS "held!", a.creds AS "creds?",
       coalesce(a.imported_at, a.exported_at) IS NOT NULL AS "unused!",
       wa.generation(l) AS "generation!"
FROM wa.session s JOIN wa.lease l USING (session_id) LEFT JOIN wa.auth a USING (session_id)
WHERE s.name = $1
FOR UPDATE OF l

-- The session named $1, for a copy of its auth state: the generation of that state, and whether a worker holds the
-- session. Locks its lease, so that no worker takes it meanwhile.
SELECT s.session_id, s.phone, l.holder IS NOT NULL AS "held!",
       wa.generation(l) AS "generation!"
FROM wa.session s JOIN wa.lease l USING (session_id)
WHERE s.name = $1
FOR UPDATE OF l

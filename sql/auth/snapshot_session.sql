-- The session named $1, for a copy of its auth state: which generation that is, and whether somebody holds it. Locks its lease
-- row, so that no worker takes it meanwhile.
SELECT s.session_id, s.phone, l.holder IS NOT NULL AS "held!",
       wa.generation(l) AS "generation!"
FROM wa.session s JOIN wa.lease l USING (session_id)
WHERE s.name = $1
FOR UPDATE OF l

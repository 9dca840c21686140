-- What sessions $1 know of people $2, users of LIDs where $3 says so and of phone numbers otherwise: the other of the
-- two, or null. Parallel arrays. Locks nothing.
SELECT p.session_id AS "session_id!", p.person AS "person!", p.is_lid AS "is_lid!",
       CASE WHEN p.is_lid THEN (
           SELECT k.value ->> 'pn' FROM wa.auth_key k WHERE k.session_id = p.session_id AND k.kind = 'lid-mapping' AND k.key_id = p.person)
       ELSE (
           SELECT k.key_id FROM wa.auth_key k WHERE k.session_id = p.session_id AND k.kind = 'lid-mapping' AND k.value ->> 'pn' = p.person
           ORDER BY k.updated_at DESC LIMIT 1)
       END AS other
FROM unnest($1::bigint[], $2::text[], $3::boolean[]) AS p (session_id, person, is_lid)

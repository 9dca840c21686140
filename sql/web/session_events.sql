-- The last events of a session ($1: its id), the latest first; $2 at most, before the id $3.
SELECT id, kind, data::text AS "data!", created_at FROM wa.event
WHERE session_id = $1 AND ($3::bigint IS NULL OR id < $3)
ORDER BY session_id DESC, id DESC LIMIT $2

-- The events behind an id ($1), or the last ones without it; $2 at most.
(SELECT id AS "id!", session, kind AS "kind!", data AS "data!", created_at AS "at!" FROM wa.event
 WHERE $1::bigint IS NOT NULL AND id > $1 ORDER BY id LIMIT $2)
UNION ALL
(SELECT id, session, kind, data, created_at FROM wa.event WHERE $1::bigint IS NULL ORDER BY id DESC LIMIT $2 / 10)

-- The events behind an id ($1), or the last ones without it; $2 at most, or a tenth. $3: whether the reader sees all tenants.
-- A reader with few sessions may have few events among many: they are found by a look-up in an index for each session.
WITH few AS MATERIALIZED (
    SELECT $1::bigint IS NULL AND NOT $3::boolean AND (SELECT count(*) FROM (SELECT FROM wa.session LIMIT 1001) s) <= 1000 AS sessions
), recent AS MATERIALIZED (
    SELECT s.session_id, e.id
    FROM wa.session s
    CROSS JOIN LATERAL (SELECT e.id FROM wa.event e WHERE e.session_id = s.session_id ORDER BY e.session_id DESC, e.id DESC LIMIT 1) e
    WHERE (SELECT sessions FROM few) ORDER BY e.id DESC LIMIT $2::bigint / 10
)
(SELECT id AS "id!", session, kind AS "kind!", data AS "data!", created_at AS "at!" FROM wa.event
 WHERE $1 IS NOT NULL AND id > $1 ORDER BY id LIMIT $2)
UNION ALL
(SELECT id, session, kind, data, created_at FROM wa.event
 WHERE $1 IS NULL AND NOT (SELECT sessions FROM few) ORDER BY id DESC LIMIT $2 / 10)
UNION ALL
(SELECT e.id, e.session, e.kind, e.data, e.created_at
 FROM recent r
 CROSS JOIN LATERAL (
    SELECT * FROM wa.event e
    WHERE e.session_id = r.session_id AND e.id >= (SELECT CASE WHEN count(*) = $2 / 10 THEN min(id) ELSE 0 END FROM recent)
    ORDER BY e.session_id DESC, e.id DESC LIMIT $2 / 10) e
 ORDER BY e.id DESC LIMIT $2 / 10)

-- The events behind an id ($1), of whatever kind, or the last ones without it; $2 at most, or a tenth. $3: whether the reader sees all
-- tenants. $4: only of this session. $5: of the last ones only kinds that begin so, among the last 100,000 of all, 10,000 of the session,
-- or 1,000 of each of several. So every reading is bounded, also one of a kind that never happens.
-- A reader with few sessions may have few events among many: they are found by a look-up in an index for each session, of which $6 are
-- read at least. "until": events behind this one may be missing. With BETWEEN nothing but that index has the order: with an equality the
-- planner may go through the events of all, and hope to meet one soon.
WITH own AS MATERIALIZED (
    SELECT s.session_id FROM wa.session s WHERE s.name = $4::text
), few AS MATERIALIZED (
    SELECT coalesce(n <= 1000, false) AS sessions, greatest(2 * $2::bigint / greatest(n, 1), $6::bigint) AS each
    FROM (SELECT CASE WHEN $4 IS NULL AND NOT $3::boolean THEN (SELECT count(*) FROM (SELECT FROM wa.session LIMIT 1001) s) END AS n) counted
), recent AS MATERIALIZED (
    SELECT s.session_id, e.id
    FROM wa.session s
    CROSS JOIN LATERAL (SELECT e.id FROM wa.event e WHERE e.session_id BETWEEN s.session_id AND s.session_id ORDER BY e.session_id DESC, e.id DESC LIMIT 1) e
    WHERE $1::bigint IS NULL AND (SELECT sessions FROM few) ORDER BY e.id DESC LIMIT $2 / 10
)
(SELECT id AS "id!", session, kind AS "kind!", data::text AS "data!", created_at AS "at!", NULL::bigint AS until FROM wa.event
 WHERE $1 IS NOT NULL AND $4 IS NULL AND NOT (SELECT sessions FROM few) AND id > $1 ORDER BY id LIMIT $2)
UNION ALL
(SELECT e.id, e.session, e.kind, e.data::text, e.created_at, NULL FROM own CROSS JOIN LATERAL (
    SELECT * FROM wa.event e
    WHERE $1 IS NOT NULL AND e.session_id BETWEEN own.session_id AND own.session_id AND e.id > $1
    ORDER BY e.session_id, e.id LIMIT $2) e)
UNION ALL
(SELECT id, session, kind, data::text, created_at, NULL FROM wa.event
 WHERE $1 IS NULL AND $4 IS NULL AND NOT (SELECT sessions FROM few)
   AND ($5::text IS NULL OR starts_with(kind, $5) AND id > (SELECT max(id) - 100000 FROM wa.event)) ORDER BY id DESC LIMIT $2 / 10)
UNION ALL
(SELECT e.id, e.session, e.kind, e.data::text, e.created_at, NULL FROM own CROSS JOIN LATERAL (
    SELECT * FROM (
        SELECT * FROM wa.event e WHERE $1 IS NULL AND e.session_id BETWEEN own.session_id AND own.session_id
        ORDER BY e.session_id DESC, e.id DESC LIMIT 10000) e
    WHERE $5 IS NULL OR starts_with(e.kind, $5) ORDER BY e.session_id DESC, e.id DESC LIMIT $2 / 10) e)
UNION ALL
(SELECT e.id, e.session, e.kind, e.data::text, e.created_at, NULL
 FROM recent r
 CROSS JOIN LATERAL (
    SELECT * FROM (
        SELECT * FROM wa.event e
        WHERE e.session_id BETWEEN r.session_id AND r.session_id AND e.id >= (SELECT CASE WHEN count(*) = $2 / 10 AND $5 IS NULL THEN min(id) ELSE 0 END FROM recent)
        ORDER BY e.session_id DESC, e.id DESC LIMIT 1000) e
    WHERE $5 IS NULL OR starts_with(e.kind, $5) ORDER BY e.session_id DESC, e.id DESC LIMIT $2 / 10) e
 ORDER BY e.id DESC LIMIT $2 / 10)
UNION ALL
(SELECT id, session, kind, data::text, created_at, until
 FROM (
    SELECT id, session, kind, data, created_at, min(CASE WHEN is_full THEN newest END) OVER () AS until
    FROM (
        SELECT e.*, count(*) OVER one >= (SELECT each FROM few) AS is_full, max(e.id) OVER one AS newest
        FROM wa.session s
        CROSS JOIN LATERAL (
            SELECT * FROM wa.event e
            WHERE $1 IS NOT NULL AND (SELECT sessions FROM few) AND e.session_id BETWEEN s.session_id AND s.session_id AND e.id > $1
            ORDER BY e.session_id, e.id LIMIT (SELECT each FROM few)) e
        WINDOW one AS (PARTITION BY e.session_id)) e) e
 WHERE until IS NULL OR id <= until ORDER BY id LIMIT $2)
UNION ALL
(SELECT id, session, kind, data::text, created_at, NULL FROM wa.event
 WHERE $1 IS NOT NULL AND (SELECT sessions FROM few) AND tenants IS NOT NULL AND id > $1 ORDER BY id LIMIT $2)
UNION ALL
(SELECT id, session, kind, data::text, created_at, NULL
 FROM (SELECT * FROM wa.event WHERE $1 IS NULL AND (SELECT sessions FROM few) AND tenants IS NOT NULL ORDER BY id DESC LIMIT 10000) e
 WHERE $5 IS NULL OR starts_with(kind, $5) ORDER BY id DESC LIMIT $2 / 10)

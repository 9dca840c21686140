-- One page of $2 events after id $1: deletes those older than $3 days, or with $4 only counts them. Returns where the
-- page ends and whether any event in it was that old; later pages are younger. Locks the deleted rows.
WITH page AS MATERIALIZED (
    -- The page.
    SELECT id, created_at FROM wa.event WHERE id > $1 ORDER BY id LIMIT $2
), old AS (
    -- Events on it that are old enough.
    SELECT id FROM page WHERE created_at < now() - $3::integer * interval '1 day'
), gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.event e USING old WHERE e.id = old.id AND NOT $4::boolean
    RETURNING 1
)
SELECT (SELECT max(id) FROM page) AS last,
       EXISTS (SELECT FROM old) AS "go_on!",
       CASE WHEN $4::boolean THEN (SELECT count(*) FROM old) ELSE (SELECT count(*) FROM gone) END AS "count!"

-- One page of $2 uploads after id $1: deletes those that are older than $3 days, or with $4 only counts them. Returns
-- where the page ends; later uploads may be older, because the age of an upload starts again when it is repeated.
-- Locks the deleted rows.
WITH page AS MATERIALIZED (
    -- The page.
    SELECT upload_id, uploaded_at FROM wa.upload WHERE upload_id > $1 ORDER BY upload_id LIMIT $2
), old AS (
    -- Uploads on it that are old enough.
    SELECT upload_id FROM page WHERE uploaded_at < now() - $3::integer * interval '1 day'
), gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.upload u USING old WHERE u.upload_id = old.upload_id AND NOT $4::boolean
    RETURNING 1
)
SELECT (SELECT max(upload_id) FROM page) AS last, true AS "go_on!",
       CASE WHEN $4::boolean THEN (SELECT count(*) FROM old) ELSE (SELECT count(*) FROM gone) END AS "count!"

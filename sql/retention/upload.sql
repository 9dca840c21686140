-- One page of $2 uploads after id $1: deletes those that are older than $3 days, or with $4 only counts them. Says where the page
-- ends; later ones may be older, for an upload gets younger when it is made anew. Locks the deleted rows.
WITH page AS MATERIALIZED (
    SELECT upload_id, uploaded_at FROM wa.upload WHERE upload_id > $1 ORDER BY upload_id LIMIT $2
), old AS (
    SELECT upload_id FROM page WHERE uploaded_at < now() - $3::integer * interval '1 day'
), gone AS (
    DELETE FROM wa.upload u USING old WHERE u.upload_id = old.upload_id AND NOT $4::boolean
    RETURNING 1
)
SELECT (SELECT max(upload_id) FROM page) AS last, true AS "go_on!",
       CASE WHEN $4::boolean THEN (SELECT count(*) FROM old) ELSE (SELECT count(*) FROM gone) END AS "count!"

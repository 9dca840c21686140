-- Deletes up to $1 rows of wa.numbers by the hour that are more than $2 days old, oldest first, and as many of campaigns,
-- or with $3 counts them all. Locks the deleted rows; skips rows that are being written.
WITH old AS (
    -- The oldest rows.
    SELECT ctid FROM wa.numbers
    WHERE NOT $3::boolean AND span = 'hour' AND campaign IS NULL AND at < now() - $2::integer * interval '1 day'
    ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED
), of_campaigns AS (
    -- The oldest rows of campaigns.
    SELECT ctid FROM wa.numbers
    WHERE NOT $3::boolean AND campaign IS NOT NULL AND at < now() - $2::integer * interval '1 day'
    ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED
), gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.numbers n USING (SELECT ctid FROM old UNION ALL SELECT ctid FROM of_campaigns) AS old WHERE n.ctid = old.ctid
    RETURNING 1
)
SELECT CASE WHEN $3::boolean THEN (SELECT count(*) FROM wa.numbers WHERE span = 'hour' AND at < now() - $2::integer * interval '1 day')
            ELSE (SELECT count(*) FROM gone) END AS "count!"

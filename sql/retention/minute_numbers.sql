-- Deletes up to $1 rows of wa.numbers by the minute that are more than $2 days old, oldest first, or with $3 counts them
-- all. Their counts stay in the rows by the hour. Locks the deleted rows; skips rows that are being written.
WITH old AS (
    -- The oldest rows.
    SELECT ctid FROM wa.numbers
    WHERE NOT $3::boolean AND span = 'minute' AND at < now() - $2::integer * interval '1 day'
    ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED
), gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.numbers n USING old WHERE n.ctid = old.ctid RETURNING 1
)
SELECT CASE WHEN $3::boolean THEN (SELECT count(*) FROM wa.numbers WHERE span = 'minute' AND at < now() - $2::integer * interval '1 day')
            ELSE (SELECT count(*) FROM gone) END AS "count!"

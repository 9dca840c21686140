-- Deletes up to $1 rows of wa.webhook_numbers that are more than $2 days old, oldest first, or with $3 counts them all.
-- Locks the deleted rows; skips rows that are being written.
WITH old AS (
    -- The oldest rows.
    SELECT ctid FROM wa.webhook_numbers WHERE NOT $3::boolean AND at < now() - $2::integer * interval '1 day'
    ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED
), gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.webhook_numbers n USING old WHERE n.ctid = old.ctid RETURNING 1
)
SELECT CASE WHEN $3::boolean THEN (SELECT count(*) FROM wa.webhook_numbers WHERE at < now() - $2::integer * interval '1 day')
            ELSE (SELECT count(*) FROM gone) END AS "count!"

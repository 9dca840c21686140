-- One page of $2 maintenance jobs after id $1: deletes those that ended more than $3 days ago, or with $4 only counts
-- them. Returns where the page ends and whether any job in it was made that long ago; later pages are younger. Locks
-- the deleted rows; skips rows that are being written.
WITH page AS MATERIALIZED (
    -- The page.
    SELECT id, created_at, status, greatest(created_at, finished_at) AS ended_at
    FROM wa.maintenance_job WHERE id > $1 ORDER BY id LIMIT $2
), old AS (
    -- Jobs on it that ended long enough ago.
    SELECT id FROM page WHERE status NOT IN ('queued', 'running') AND ended_at < now() - $3::integer * interval '1 day'
), doomed AS (
    -- Those that nobody else is writing.
    SELECT j.id FROM wa.maintenance_job j JOIN old USING (id)
    WHERE NOT $4::boolean AND j.status NOT IN ('queued', 'running')
    FOR UPDATE OF j SKIP LOCKED
), gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.maintenance_job j USING doomed WHERE j.id = doomed.id
    RETURNING 1
)
SELECT (SELECT max(id) FROM page) AS last,
       EXISTS (SELECT FROM page WHERE created_at < now() - $3::integer * interval '1 day') AS "go_on!",
       CASE WHEN $4::boolean THEN (SELECT count(*) FROM old) ELSE (SELECT count(*) FROM gone) END AS "count!"

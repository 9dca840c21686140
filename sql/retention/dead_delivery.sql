-- One page of $2 deliveries after id $1: deletes those that are dead, or of which a webhook was not told, and were made
-- or last replayed more than $3 days ago, or with $4 only counts them. Returns where the page ends and whether any delivery in it was made
-- that long ago; later pages are younger. Locks the deleted rows; skips rows that are being written.
WITH page AS MATERIALIZED (
    -- The page.
    SELECT id, created_at, greatest(created_at, replayed_at) AS since, status FROM wa.delivery WHERE id > $1 ORDER BY id LIMIT $2
), doomed AS (
    -- Deliveries on it that are old enough.
    SELECT d.id FROM wa.delivery d JOIN page USING (id)
    WHERE NOT $4::boolean AND d.status IN ('dead', 'queued', 'waiting') AND page.since < now() - $3::integer * interval '1 day'
    FOR UPDATE OF d SKIP LOCKED
), gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.delivery d USING doomed WHERE d.id = doomed.id RETURNING 1
)
SELECT (SELECT max(id) FROM page) AS last,
       EXISTS (SELECT FROM page WHERE created_at < now() - $3::integer * interval '1 day') AS "go_on!",
       CASE WHEN $4::boolean THEN (SELECT count(*) FROM page WHERE status IN ('dead', 'queued', 'waiting') AND since < now() - $3::integer * interval '1 day')
            ELSE (SELECT count(*) FROM gone) END AS "count!"

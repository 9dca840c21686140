-- One page of $2 files after media_id $1: deletes those that are older than $3 days and that no waiting message names,
-- or with $4 only counts them. Returns where the page ends; later files may be older, because the age of a file starts
-- again each time it is put here. Locks the deleted rows; skips files that somebody adds again at this moment. The trigger
-- dropped notes files in the media store, which dropped_file.sql deletes later.
WITH page AS MATERIALIZED (
    -- The page.
    SELECT media_id, created_at FROM wa.media WHERE media_id > $1 ORDER BY media_id LIMIT $2
), old AS (
    -- Files on it that are old enough and that no waiting message names.
    SELECT media_id FROM page
    WHERE created_at < now() - $3::integer * interval '1 day'
      AND NOT EXISTS (SELECT FROM wa.outbound o WHERE o.status IN ('queued', 'sending') AND o.content ? 'media' AND (o.content ->> 'media')::bigint = page.media_id)
), doomed AS (
    -- Those that nobody else is writing.
    SELECT m.media_id FROM wa.media m JOIN old USING (media_id) WHERE NOT $4::boolean FOR UPDATE OF m SKIP LOCKED
), gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.media m USING doomed WHERE m.media_id = doomed.media_id
    RETURNING 1
)
SELECT (SELECT max(media_id) FROM page) AS last, true AS "go_on!",
       CASE WHEN $4::boolean THEN (SELECT count(*) FROM old) ELSE (SELECT count(*) FROM gone) END AS "count!"

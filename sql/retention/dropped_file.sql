-- One page of $2 files after path $1 that were dropped more than $3 days ago. Forgets those that a row of wa.media names
-- again, unless $4. Returns the others, and where the page ends. Locks the forgotten rows.
WITH page AS MATERIALIZED (
    -- The page.
    SELECT d.path, d.dropped_at < now() - $3::integer * interval '1 day' AS old,
           EXISTS (SELECT FROM wa.media m WHERE m.path = d.path) AS named
    FROM wa.dropped_file d WHERE d.path > $1 ORDER BY d.path LIMIT $2
), forgotten AS (
    -- Files that are wanted again.
    DELETE FROM wa.dropped_file d USING page WHERE d.path = page.path AND page.named AND NOT $4::boolean
)
SELECT (SELECT max(path) FROM page) AS last,
       ARRAY(SELECT path FROM page WHERE old AND NOT named ORDER BY path) AS "paths!"

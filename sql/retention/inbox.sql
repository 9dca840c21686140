-- One page of $2 received messages after id $1: deletes those older than $3 days, or with $4 only counts them. Returns
-- where the page ends and whether any message in it was that old; later pages are younger. Locks the deleted rows;
-- skips rows that are being written.
WITH page AS MATERIALIZED (
    -- The page.
    SELECT session_id, id, received_at FROM wa.inbox WHERE id > $1 ORDER BY id LIMIT $2
), old AS (
    -- Messages on it that are old enough.
    SELECT session_id, id FROM page WHERE received_at < now() - $3::integer * interval '1 day'
), doomed AS (
    -- Those that nobody else is writing.
    SELECT i.session_id, i.id FROM wa.inbox i JOIN old USING (session_id, id)
    WHERE NOT $4::boolean
    FOR UPDATE OF i SKIP LOCKED
), gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.inbox i USING doomed WHERE i.session_id = doomed.session_id AND i.id = doomed.id
    RETURNING 1
)
SELECT (SELECT max(id) FROM page) AS last,
       EXISTS (SELECT FROM old) AS "go_on!",
       CASE WHEN $4::boolean THEN (SELECT count(*) FROM old) ELSE (SELECT count(*) FROM gone) END AS "count!"

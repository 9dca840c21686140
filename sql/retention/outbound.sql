-- One page of $2 messages after id $1: deletes those that ended more than $3 days ago, of session $5 and with status
-- $6 unless these are null, or with $4 only counts them. Returns where the page ends and whether any message in it was
-- made that long ago; later pages are younger. Locks the deleted rows; skips rows that are being written.
WITH page AS MATERIALIZED (
    -- The page.
    SELECT session_id, id, created_at, status,
           greatest(created_at, sent_at, delivered_at, read_at, played_at, failed_at, cancelled_at,
                    expired_at) AS ended_at
    FROM wa.outbound WHERE id > $1 ORDER BY id LIMIT $2
), old AS (
    -- Messages on it that ended long enough ago and were asked for.
    SELECT session_id, id FROM page
    WHERE status NOT IN ('queued', 'sending') AND ended_at < now() - $3::float8 * interval '1 day'
      AND ($5::text IS NULL OR session_id = (SELECT wa.session_id($5)))
      AND ($6::text IS NULL OR status = $6::wa.outbound_status)
), doomed AS (
    -- Those that nobody else is writing.
    SELECT o.session_id, o.id FROM wa.outbound o JOIN old USING (session_id, id)
    WHERE NOT $4::boolean AND o.status NOT IN ('queued', 'sending')
    FOR UPDATE OF o SKIP LOCKED
), gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.outbound o USING doomed WHERE o.session_id = doomed.session_id AND o.id = doomed.id
    RETURNING 1
)
SELECT (SELECT max(id) FROM page) AS last,
       EXISTS (SELECT FROM page WHERE created_at < now() - $3::float8 * interval '1 day') AS "go_on!",
       CASE WHEN $4::boolean THEN (SELECT count(*) FROM old) ELSE (SELECT count(*) FROM gone) END AS "count!"

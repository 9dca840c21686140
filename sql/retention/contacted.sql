-- Deletes up to $1 chats that became known more than $2 days ago, oldest first, or with $3 counts them all. Locks the
-- deleted rows; skips rows that are being written.
WITH gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.contacted c
    USING (
        SELECT session_id, chat FROM wa.contacted
        WHERE NOT $3::boolean AND first_at < now() - $2::integer * interval '1 day'
        ORDER BY first_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ) AS old
    WHERE c.session_id = old.session_id AND c.chat = old.chat
    RETURNING 1
)
SELECT CASE WHEN $3::boolean THEN (SELECT count(*) FROM wa.contacted WHERE first_at < now() - $2::integer * interval '1 day')
            ELSE (SELECT count(*) FROM gone) END AS "count!"

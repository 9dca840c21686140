-- Deletes up to $1 messages from before a link that were kept more than $2 days ago, oldest first, or with $3 counts
-- them all. Locks the deleted rows; skips rows that are being written.
WITH gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.past p
    USING (
        SELECT session_id, chat, sender, message_id FROM wa.past
        WHERE NOT $3::boolean AND kept_at < now() - $2::integer * interval '1 day'
        ORDER BY kept_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ) AS old
    WHERE p.session_id = old.session_id AND p.chat = old.chat AND p.sender = old.sender AND p.message_id = old.message_id
    RETURNING 1
)
SELECT CASE WHEN $3::boolean THEN (SELECT count(*) FROM wa.past WHERE kept_at < now() - $2::integer * interval '1 day')
            ELSE (SELECT count(*) FROM gone) END AS "count!"

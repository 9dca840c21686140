-- Deletes up to $1 entries of what paused and dropped consumers have to read, or with $2 counts them all. Finds the
-- consumers by one step of the index each. Locks the deleted rows; skips rows that are being written.
WITH RECURSIVE reader AS (
    -- Every consumer that has unread messages.
    (SELECT consumer_id FROM wa.unread ORDER BY consumer_id LIMIT 1)
    UNION ALL
    SELECT next.consumer_id
    FROM reader CROSS JOIN LATERAL (
        SELECT u.consumer_id FROM wa.unread u WHERE u.consumer_id > reader.consumer_id ORDER BY u.consumer_id LIMIT 1
    ) next
), idle AS MATERIALIZED (
    -- Those that are paused, or were dropped.
    SELECT consumer_id FROM reader
    WHERE NOT EXISTS (SELECT FROM wa.consumer c WHERE c.consumer_id = reader.consumer_id AND c.paused_at IS NULL)
), gone AS (
    -- The rows that are deleted; none when they are only counted. Each consumer is read by its part of the index, and
    -- rows are deleted by their place, because consumers at work may have much to read.
    DELETE FROM wa.unread u
    WHERE u.ctid = ANY (ARRAY(
        SELECT w.place
        FROM idle CROSS JOIN LATERAL (
            SELECT old.ctid AS place FROM wa.unread old
            WHERE old.consumer_id = idle.consumer_id AND NOT $2::boolean
            ORDER BY old.inbox_id LIMIT $1 FOR UPDATE SKIP LOCKED
        ) w
        LIMIT $1
    ))
    RETURNING 1
)
SELECT CASE WHEN $2::boolean
            THEN (SELECT coalesce(sum(u.count), 0)::bigint FROM idle CROSS JOIN LATERAL (
                SELECT count(*) FROM wa.unread u WHERE u.consumer_id = idle.consumer_id) u)
            ELSE (SELECT count(*) FROM gone) END AS "count!"

-- Deletes up to $1 messages whose session was deleted while the transaction that inserted them was open, or with $2 counts
-- them all. Such a message is queued, because nobody sends it. Reads one row for each session. Locks the deleted rows.
WITH RECURSIVE session (id) AS (
    -- The sessions in wa.outbound_queue.
    SELECT min(session_id) FROM wa.outbound_queue
    UNION ALL
    SELECT (SELECT min(q.session_id) FROM wa.outbound_queue q WHERE q.session_id > session.id) FROM session WHERE session.id IS NOT NULL
), lost AS MATERIALIZED (
    -- Those that do not exist.
    SELECT session.id FROM session WHERE session.id IS NOT NULL AND NOT EXISTS (SELECT FROM wa.session s WHERE s.session_id = session.id)
), doomed AS MATERIALIZED (
    -- Their messages.
    SELECT q.session_id, q.chat, q.id FROM lost JOIN wa.outbound_queue q ON q.session_id = lost.id
    WHERE NOT $2::boolean LIMIT $1 FOR UPDATE OF q SKIP LOCKED
), gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.outbound_queue q USING doomed d WHERE q.session_id = d.session_id AND q.chat = d.chat AND q.id = d.id RETURNING 1
), messages AS (
    DELETE FROM wa.outbound o USING doomed d WHERE o.id = d.id AND o.session_id = d.session_id
)
SELECT CASE WHEN $2::boolean THEN (SELECT count(*) FROM lost JOIN wa.outbound_queue q ON q.session_id = lost.id) ELSE (SELECT count(*) FROM gone) END AS "count!"

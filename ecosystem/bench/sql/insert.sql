-- Inserts $1 messages over $2 sessions and $3 chats of each, lane by lane in turn, as an application that sends in bulk
-- does. Returns the first id.
WITH inserted AS (
    INSERT INTO wa.outbound (session, recipient, body)
    SELECT 'bench' || 1 + i % $2, '+1555' || lpad((i / $2 % $3)::text, 7, '0'), 'message ' || i
    FROM generate_series(0, $1::bigint - 1) i
    RETURNING id
)
SELECT min(id) AS "first!" FROM inserted

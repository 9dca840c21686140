-- Writes the progress of messages with their participants, one array element for each receipt. A time that is written
-- stays, and nothing is written under an epoch that no longer holds. Share-locks the leases and the messages; locks
-- the rows. Leaves out messages that somebody else has locked, or whose lease is locked, and returns them: session ids
-- and message ids, as parallel arrays.
WITH input (session_id, epoch, message_id, participant, reached, at) AS (
    -- reached: delivered, read, played. at: null is unknown, then now.
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
), held AS (
    -- The leases that are held, with their epochs.
    SELECT session_id, epoch FROM wa.lease WHERE session_id = ANY ($1::bigint[]) AND holder IS NOT NULL
    FOR SHARE SKIP LOCKED
), free AS MATERIALIZED (
    -- Their messages that nobody else has locked. The foreign key of wa.receipt would lock them in the same way.
    SELECT o.session_id, o.id, o.message_id FROM wa.outbound o
    JOIN (SELECT DISTINCT session_id, message_id FROM input JOIN held USING (session_id, epoch)) c USING (session_id, message_id)
    WHERE o.id = wa.outbound_id(c.session_id, c.message_id)
    FOR KEY SHARE OF o SKIP LOCKED
), written AS (
    -- The receipts.
    INSERT INTO wa.receipt AS r (session_id, outbound_id, participant, delivered_at, read_at, played_at)
    SELECT o.session_id, o.id, c.participant, min(c.at), min(c.at) FILTER (WHERE c.reached IN ('read', 'played')),
           min(c.at) FILTER (WHERE c.reached = 'played')
    FROM (
        SELECT session_id, epoch, message_id, participant, reached, least(coalesce(at, now()), now()) AS at FROM input
    ) c
    JOIN held USING (session_id, epoch)
    JOIN free o USING (session_id, message_id)
    GROUP BY o.session_id, o.id, c.participant
    -- In one order, so that two batches do not wait for each other.
    ORDER BY o.id, c.participant
    ON CONFLICT (outbound_id, participant) DO UPDATE
    SET read_at = coalesce(r.read_at, excluded.read_at), played_at = coalesce(r.played_at, excluded.played_at)
    WHERE (r.read_at IS NULL AND excluded.read_at IS NOT NULL) OR (r.played_at IS NULL AND excluded.played_at IS NOT NULL)
), left_out AS (
    -- Messages that exist, are held, and were locked.
    SELECT DISTINCT i.session_id, i.message_id
    FROM input i
    JOIN wa.lease l ON l.session_id = i.session_id AND l.epoch = i.epoch AND l.holder IS NOT NULL
    JOIN wa.outbound o ON o.id = wa.outbound_id(i.session_id, i.message_id)
    WHERE (i.session_id, i.message_id) NOT IN (SELECT session_id, message_id FROM free)
)
SELECT ARRAY(SELECT session_id FROM left_out) AS "sessions!", ARRAY(SELECT message_id FROM left_out) AS "message_ids!"

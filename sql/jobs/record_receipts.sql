-- How far messages came with participants, one line for each receipt: $1 session ids, $2 epochs, $3 message ids, $4 participants,
-- $5 how far (delivered, read, played), $6 when (null: not known, then now). What is written stays, and nothing is written under an
-- epoch that is no longer held. Share-locks the leases and the messages; locks the rows.
WITH held AS (
    SELECT session_id, epoch FROM wa.lease WHERE session_id = ANY ($1::bigint[]) AND holder IS NOT NULL FOR SHARE
)
INSERT INTO wa.receipt AS r (session_id, outbound_id, participant, delivered_at, read_at, played_at)
SELECT o.session_id, o.id, c.participant, min(c.at), min(c.at) FILTER (WHERE c.reached IN ('read', 'played')),
       min(c.at) FILTER (WHERE c.reached = 'played')
FROM (
    SELECT session_id, epoch, message_id, participant, reached, least(coalesce(at, now()), now()) AS at
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
         AS c (session_id, epoch, message_id, participant, reached, at)
) c
JOIN held USING (session_id, epoch)
JOIN wa.outbound o USING (session_id, message_id)
GROUP BY o.session_id, o.id, c.participant
-- In one order, so that two batches do not wait for each other.
ORDER BY o.id, c.participant
ON CONFLICT (outbound_id, participant) DO UPDATE
SET read_at = coalesce(r.read_at, excluded.read_at), played_at = coalesce(r.played_at, excluded.played_at)
WHERE (r.read_at IS NULL AND excluded.read_at IS NOT NULL) OR (r.played_at IS NULL AND excluded.played_at IS NOT NULL)

-- Sets which messages worker $1 has claimed of the sessions $2 under their epochs $3: $4 session ids, $5 ids of
-- messages. Claims do this for the messages that they take; this statement is for messages that were given back.
-- Returns the sessions that somebody else has locked and that are still held: they wait for the next time. Share-locks
-- the leases; locks the rows of wa.sending.
WITH mine AS (
    -- The sessions.
    SELECT * FROM unnest($2::bigint[], $3::bigint[]) AS mine (session_id, epoch)
), free AS MATERIALIZED (
    -- Those that this worker still holds under those epochs and that nobody else has locked.
    SELECT l.session_id
    FROM wa.lease l JOIN mine USING (session_id, epoch) JOIN wa.sending b USING (session_id)
    WHERE l.holder = $1 AND NOT l.unsettled
    FOR SHARE OF l SKIP LOCKED FOR NO KEY UPDATE OF b SKIP LOCKED
), given_back AS MATERIALIZED (
    -- What is not in hand any more; of a campaign that was paused meanwhile it is held.
    SELECT b.session_id, wa.hold_back(b.session_id, ARRAY(SELECT unnest(b.taken) EXCEPT SELECT unnest($5::bigint[])))::text
    FROM free JOIN wa.sending b USING (session_id)
), written AS (
    -- What is in hand of them.
    UPDATE wa.sending b
    SET taken = ARRAY(SELECT h.id FROM unnest($4::bigint[], $5::bigint[]) AS h (session_id, id) WHERE h.session_id = b.session_id)
    FROM given_back WHERE b.session_id = given_back.session_id
)
SELECT mine.session_id AS "session_id!", mine.epoch AS "epoch!"
FROM mine JOIN wa.lease l USING (session_id, epoch)
WHERE l.holder = $1 AND NOT l.unsettled AND session_id NOT IN (SELECT session_id FROM free)

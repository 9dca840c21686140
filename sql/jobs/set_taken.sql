-- Sets which messages worker $1 has claimed of the sessions $2 under their epochs $3: $4 session ids, $5 ids of
-- messages. Claims do this for the messages that they take; this statement is for messages that were given back.
-- Share-locks the leases; locks the rows of wa.sending.
WITH held AS (
    -- The leases that this worker still holds under those epochs.
    SELECT l.session_id
    FROM wa.lease l JOIN unnest($2::bigint[], $3::bigint[]) AS mine (session_id, epoch) USING (session_id, epoch)
    WHERE l.holder = $1
    FOR SHARE OF l
)
UPDATE wa.sending b
SET taken = ARRAY(SELECT h.id FROM unnest($4::bigint[], $5::bigint[]) AS h (session_id, id) WHERE h.session_id = b.session_id)
FROM held WHERE b.session_id = held.session_id

-- Seals the address of the proxy of session $1, which is held under epoch $2: writes $4 where it still is $3.
-- Share-locks the lease. Skips a row that an application is writing.
WITH held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), free AS MATERIALIZED (
    -- The row, if nobody else is writing it.
    SELECT p.session_id FROM wa.proxy p JOIN held USING (session_id) WHERE p.url = $3 FOR UPDATE OF p SKIP LOCKED
)
UPDATE wa.proxy p SET url = $4 FROM free WHERE p.session_id = free.session_id

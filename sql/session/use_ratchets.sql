-- Before session $1 connects under epoch $2: resets its ratchets if another program has them, or if the database was
-- restored since they were used. Returns how many keys were deleted; null without a reset. Locks the session's row, to
-- which an event refers, without waiting; share-locks the lease; locks the deleted keys and the credentials.
WITH own AS MATERIALIZED (
    -- The session's row. An error at once when somebody is deleting it: the worker tries again later.
    SELECT session_id FROM wa.session WHERE session_id = $1 FOR KEY SHARE NOWAIT
), held AS MATERIALIZED (
    -- The lease, if the session is still held under this epoch.
    SELECT l.session_id FROM wa.lease l JOIN own USING (session_id) WHERE l.epoch = $2 AND l.holder IS NOT NULL FOR SHARE OF l
)
SELECT wa.use_ratchets(session_id) AS keys FROM held

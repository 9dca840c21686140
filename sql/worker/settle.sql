-- Returns to the queue what earlier holds of at most $1 sessions had in hand and could not return at their end. Locks
-- those leases, the rows of wa.sending and the messages; skips what somebody else has locked, for the next run.
UPDATE wa.lease l SET unsettled = NOT wa.settle(l.session_id)
FROM (SELECT session_id FROM wa.lease WHERE unsettled ORDER BY random() LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED) left_over
WHERE l.session_id = left_over.session_id

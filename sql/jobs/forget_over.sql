-- Takes messages out of the queue that are over, or whose row is gone: sessions $1, ids $2. Somebody has changed their rows by
-- hand, or in the moment in which they were queued again. Locks those rows of wa.outbound_queue.
DELETE FROM wa.outbound_queue q USING unnest($1::bigint[], $2::bigint[]) AS e (session_id, id)
WHERE q.session_id = e.session_id AND q.id = e.id
  AND NOT EXISTS (SELECT FROM wa.outbound o WHERE o.id = q.id AND o.session_id = q.session_id AND o.status IN ('queued', 'sending'))

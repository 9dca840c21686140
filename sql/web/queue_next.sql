-- The messages of a session ($1: its id) that go next, in the order of the claim: $2 that can go now, and $2 that wait for a
-- moment.
(SELECT o.id AS "id!", o.recipient AS "recipient!", o.kind AS "kind!", o.created_at AS "created_at!", q.waits_for::text AS waits_for, q.run_at AS "run_at?"
 FROM wa.outbound_queue q JOIN wa.outbound o USING (id) WHERE q.session_id = $1 AND q.waits_for IS NULL ORDER BY q.rank, q.id LIMIT $2)
UNION ALL
(SELECT o.id, o.recipient, o.kind, o.created_at, q.waits_for::text, q.run_at
 FROM wa.outbound_queue q JOIN wa.outbound o USING (id)
 WHERE q.session_id = $1 AND q.waits_for IS NOT NULL AND q.waits_for <> 'paused' ORDER BY q.run_at LIMIT $2)

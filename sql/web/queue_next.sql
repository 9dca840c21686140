-- The messages of a session ($1: its id) that go next, in the order of the claim: $2 that can go now, and $2 that wait for a
-- moment.
(SELECT o.id AS "id!", o.recipient AS "recipient!", o.kind AS "kind!", o.created_at AS "created_at!", o.waits_for::text AS waits_for, o.run_at AS "run_at!"
 FROM wa.outbound o WHERE o.session_id = $1 AND o.live AND o.waits_for IS NULL ORDER BY -o.priority, o.id LIMIT $2)
UNION ALL
(SELECT o.id, o.recipient, o.kind, o.created_at, o.waits_for::text, o.run_at
 FROM wa.outbound o WHERE o.session_id = $1 AND o.live AND o.waits_for IS NOT NULL AND o.waits_for <> 'paused' ORDER BY o.run_at LIMIT $2)

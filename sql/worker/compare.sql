-- What the database says is worker $1's and the worker does not have in hand: session jobs other than $2, maintenance
-- jobs other than $3, and leases of sessions other than $4, unless a job for the connection of such a session is on its
-- way. Also the opposite: the sessions $5 of which the worker has something and whose lease it does not hold. Locks
-- nothing.
SELECT 'session_job' AS "what!", j.id AS "id!", j.attempts AS "attempts?", NULL::bigint AS "epoch?", NULL::text AS "session?",
       NULL::boolean AS "wished?", NULL::boolean AS "linked?", NULL::boolean AS "banned?", j.kind AS "kind?"
FROM wa.session_job j
WHERE j.worker_id = $1 AND j.status = 'running'
  AND NOT EXISTS (SELECT FROM unnest($2::bigint[]) AS hand (id) WHERE hand.id = j.id)
UNION ALL
SELECT 'maintenance_job', j.id, j.attempts, NULL, NULL, NULL, NULL, NULL, NULL
FROM wa.maintenance_job j
WHERE j.worker_id = $1 AND j.status = 'running'
  AND NOT EXISTS (SELECT FROM unnest($3::bigint[]) AS hand (id) WHERE hand.id = j.id)
UNION ALL
SELECT 'lease', l.session_id, NULL, l.epoch, s.name, s.desired = 'connected', s.jid IS NOT NULL, s.status = 'banned', NULL
FROM wa.lease l JOIN wa.session s USING (session_id)
WHERE l.holder = $1
  AND NOT EXISTS (SELECT FROM unnest($4::bigint[]) AS here (session_id) WHERE here.session_id = l.session_id)
  AND NOT EXISTS (
      SELECT FROM wa.session_job j
      WHERE j.session_id = l.session_id AND j.status IN ('queued', 'running') AND NOT j.action
        AND (j.status = 'running' OR j.run_at <= now()
             OR s.desired = 'connected' AND wa.will_connect(j, s.jid IS NOT NULL)))
UNION ALL
SELECT 'entry', entry.session_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM unnest($5::bigint[]) AS entry (session_id)
WHERE NOT EXISTS (SELECT FROM wa.lease l WHERE l.session_id = entry.session_id AND l.holder = $1)

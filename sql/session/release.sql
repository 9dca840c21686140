-- Gives session $1 back under epoch $2, with status $3 and reason $4 if that may follow; what is banned, say, stays so. $5:
-- the wish becomes "stopped" too, unless somebody has wished otherwise since. $6: forgets who it was, after a logout. Locks the lease; whatever waits for it goes on.
-- When it is to be connected all the same, the other workers are told.
WITH freed AS (
    UPDATE wa.lease SET holder = NULL WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL RETURNING session_id
), found AS (
    SELECT s.session_id, ($3::text)::wa.session_status = ANY (s.status || wa.next_statuses(s.status)) AS follows,
           $5 AND NOT EXISTS (
               SELECT FROM wa.session_job j
               WHERE j.session_id = s.session_id AND j.status = 'queued' AND j.kind IN ('link', 'connect')) AS stops
    FROM wa.session s JOIN freed USING (session_id)
), written AS (
    UPDATE wa.session s
    SET status = CASE WHEN follows THEN ($3::text)::wa.session_status ELSE s.status END,
        status_reason = CASE WHEN follows THEN $4 ELSE s.status_reason END,
        desired = CASE WHEN stops THEN 'stopped' ELSE s.desired END::wa.session_wish,
        link_phone = CASE WHEN stops THEN NULL ELSE s.link_phone END,
        wished_at = CASE WHEN stops THEN NULL ELSE s.wished_at END,
        jid = CASE WHEN $6 THEN NULL ELSE s.jid END, lid = CASE WHEN $6 THEN NULL ELSE s.lid END
    FROM found WHERE s.session_id = found.session_id
), told AS (
    SELECT pg_notify('wa_work', 'leases') FROM freed WHERE NOT $5
)
-- Counted, because what nobody reads is not run.
SELECT EXISTS (SELECT FROM freed) AND (SELECT count(*) FROM told) >= 0 AS "held!"

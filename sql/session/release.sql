-- Releases a session. Locks the lease, so statements that wait for it continue, and the session's row. When the
-- session should still be connected, the other workers are woken.
WITH input (session_id, epoch, status, reason, stops, forgets) AS NOT MATERIALIZED (
    -- Not materialized, so that the planner sees constants. status: written with its reason if it may follow; a banned
    -- session, for example, stays banned. stops: the wish becomes "stopped" too, unless somebody has asked for a
    -- connection since. forgets: deletes the identity, after a logout.
    SELECT $1::bigint, $2::bigint, ($3::text)::wa.session_status, $4::text, $5::boolean, $6::boolean
), freed AS (
    -- The lease, now free.
    UPDATE wa.lease l SET holder = NULL
    FROM input WHERE l.session_id = input.session_id AND l.epoch = input.epoch AND l.holder IS NOT NULL
    RETURNING l.session_id
), found AS (
    -- Whether the status may follow, and whether the wish becomes "stopped".
    SELECT s.session_id, input.status, input.reason, input.forgets,
           input.status = ANY (s.status || wa.next_statuses(s.status)) AS follows,
           input.stops AND NOT EXISTS (
               SELECT FROM wa.session_job j
               WHERE j.session_id = s.session_id AND j.status = 'queued' AND j.kind IN ('link', 'connect')) AS stops
    FROM wa.session s JOIN freed USING (session_id) JOIN input USING (session_id)
), written AS (
    -- The session.
    UPDATE wa.session s
    SET status = CASE WHEN follows THEN found.status ELSE s.status END,
        status_reason = CASE WHEN follows THEN found.reason ELSE s.status_reason END,
        desired = CASE WHEN stops THEN 'stopped' ELSE s.desired END::wa.session_wish,
        link_phone = CASE WHEN stops THEN NULL ELSE s.link_phone END,
        wished_at = CASE WHEN stops THEN NULL ELSE s.wished_at END,
        jid = CASE WHEN forgets THEN NULL ELSE s.jid END, lid = CASE WHEN forgets THEN NULL ELSE s.lid END
    FROM found WHERE s.session_id = found.session_id
), announced AS (
    -- The notification that wakes other workers.
    SELECT pg_notify('wa_work', 'leases') FROM freed JOIN input USING (session_id) WHERE NOT input.stops
)
-- Counted, because Postgres skips a SELECT that nobody reads.
SELECT EXISTS (SELECT FROM freed) AND (SELECT count(*) FROM announced) >= 0 AS "held!"

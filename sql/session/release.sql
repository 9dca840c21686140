-- Releases a session. Locks the session's row, without waiting, the lease, so statements that wait for it continue, and a
-- reconnect that waits for a session that stops; with the session's row nobody else queues a link. When the session should
-- still be connected, the other workers are woken.
WITH input (session_id, epoch, status, reason, stops, forgets, relinks, ended, code, advice) AS NOT MATERIALIZED (
    -- Not materialized, so that the planner sees constants. status: written with its reason if it may follow; a banned
    -- session, for example, stays banned. stops: the wish becomes "stopped" too, unless somebody has asked for a
    -- connection since. forgets: deletes the identity, after a logout. relinks: queues a link instead, unless somebody has
    -- asked for a stop since. ended, code, advice: the event connection_ended; none when ended is null, because somebody
    -- asked for the end.
    SELECT $1::bigint, $2::bigint, ($3::text)::wa.session_status, $4::text, $5::boolean, $6::boolean, $7::boolean, $8::text, $9::integer, $10::text
), own AS (
    -- The session's row. An error at once when an application has locked it: the worker tries again later, and holds
    -- meanwhile neither the lease nor a connection (R8).
    SELECT session_id FROM wa.session WHERE session_id = $1 FOR NO KEY UPDATE NOWAIT
), freed AS (
    -- The lease, now free.
    UPDATE wa.lease l SET holder = NULL
    FROM own JOIN input USING (session_id) WHERE l.session_id = input.session_id AND l.epoch = input.epoch AND l.holder IS NOT NULL
    RETURNING l.session_id
), found AS (
    -- Whether the status may follow, whether a link does, and whether the wish becomes "stopped".
    SELECT s.session_id, input.status, input.reason, coalesce(input.ended, wa.status_code(input.reason)) AS status_code, input.forgets,
           input.status = ANY (s.status || wa.next_statuses(s.status)) AS follows,
           input.relinks AND s.desired = 'connected' AS relinks,
           input.stops AND NOT (input.relinks AND s.desired = 'connected') AND NOT EXISTS (
               SELECT FROM wa.session_job j
               WHERE j.session_id = s.session_id AND j.status = 'queued' AND NOT j.action AND j.kind IN ('link', 'connect')
                 AND j.run_at <= now()) AS stops
    FROM wa.session s JOIN freed USING (session_id) JOIN input USING (session_id)
), written AS (
    -- The session.
    UPDATE wa.session s
    SET status = CASE WHEN follows THEN found.status ELSE s.status END,
        status_reason = CASE WHEN follows THEN found.reason ELSE s.status_reason END,
        status_code = CASE WHEN follows THEN found.status_code ELSE s.status_code END,
        desired = CASE WHEN stops THEN 'stopped' ELSE s.desired END::wa.session_wish,
        link_phone = CASE WHEN stops THEN NULL ELSE s.link_phone END,
        wished_at = CASE WHEN stops THEN NULL ELSE s.wished_at END,
        jid = CASE WHEN forgets THEN NULL ELSE s.jid END, lid = CASE WHEN forgets THEN NULL ELSE s.lid END
    FROM found WHERE s.session_id = found.session_id
    RETURNING s.session_id, s.name, found.stops, found.relinks, found.reason
), superseded AS (
    -- A reconnect, perhaps after a rest. After the session's row, as whoever queues one.
    UPDATE wa.session_job j SET status = 'cancelled', finished_at = now(), last_error = 'superseded: ' || w.reason
    FROM written w WHERE w.stops AND j.session_id = w.session_id AND j.status = 'queued' AND j.kind = 'reconnect'
), link AS (
    -- The new link, unless one waits.
    INSERT INTO wa.session_job (session, kind, reason) SELECT w.name, 'link', w.reason FROM written w WHERE w.relinks
    ON CONFLICT DO NOTHING
), event AS (
    -- The event.
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT s.name, s.session_id, 'connection_ended', jsonb_strip_nulls(jsonb_build_object(
        'end', input.ended, 'code', input.code, 'reason', input.reason, 'advice', input.advice))
    FROM freed JOIN input USING (session_id) JOIN wa.session s USING (session_id) WHERE input.ended IS NOT NULL
), announced AS (
    -- The notification that wakes other workers.
    SELECT pg_notify('wa_work', 'leases') FROM freed JOIN input USING (session_id) WHERE NOT input.stops
)
-- Counted, because Postgres skips a SELECT that nobody reads.
SELECT EXISTS (SELECT FROM freed) AND (SELECT count(*) FROM announced) >= 0 AS "held!"

-- Writes that WhatsApp limits the account of session $1, under epoch $2: until $3 (null is unknown), for the reason $4.
-- Without a reason, or when that moment has passed, there is no limit. A change adds an event. Share-locks the lease;
-- locks the session's row, without waiting. Returns whether the epoch still holds, whether there is a limit, and in how
-- many seconds it ends.
WITH input AS MATERIALIZED (
    -- The limit, if there is one.
    SELECT $3::timestamptz AS until, $4::text AS reason
    WHERE $4::text IS NOT NULL AND coalesce($3::timestamptz > now(), true)
), held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), own AS (
    -- The session's row. An error at once when an application has locked it: the worker tries again later, and holds
    -- meanwhile neither the lease nor a connection (R8).
    SELECT session_id FROM wa.session WHERE session_id = $1 FOR NO KEY UPDATE NOWAIT
), written AS (
    -- The session, if this changes something.
    UPDATE wa.session s SET limit_reason = (SELECT reason FROM input), limited_until = (SELECT until FROM input)
    FROM held JOIN own USING (session_id)
    WHERE s.session_id = held.session_id
      AND (s.limit_reason, s.limited_until) IS DISTINCT FROM ((SELECT reason FROM input), (SELECT until FROM input))
    RETURNING s.session_id, s.name, s.limit_reason, s.limited_until
), event AS (
    -- The event.
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT name, session_id, CASE WHEN limit_reason IS NULL THEN 'session_limit_ended' ELSE 'session_limited' END,
           jsonb_strip_nulls(jsonb_build_object('reason', limit_reason, 'until', limited_until))
    FROM written
)
SELECT EXISTS (SELECT FROM held) AS "held!", EXISTS (SELECT FROM input) AS "limited!",
       (SELECT extract(epoch FROM until - now())::float8 FROM input) AS seconds

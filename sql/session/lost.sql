-- Session $1 lost its connection, under epoch $2: status $3 with reason $4, and, while it is wished connected, a job of
-- kind $5 (reconnect, or link when it is not linked yet). When: $6 seconds from now, or, when null, by the failures in
-- a row: 1, 2, 4, 8 s with jitter, and from the fifth on after 5 minutes of rest. Never two jobs of that kind wait for one
-- session. Share-locks the lease.
WITH held AS (
    SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE
), written AS (
    UPDATE wa.session s
    SET status = ($3::text)::wa.session_status, status_reason = $4,
        failures = s.failures + CASE WHEN $6::float8 IS NULL THEN 1 ELSE 0 END,
        rest_until = CASE WHEN $6::float8 IS NULL AND s.failures >= 4 THEN now() + interval '5 minutes' END
    FROM held WHERE s.session_id = held.session_id
    RETURNING s.session_id, s.name, s.desired, s.failures, s.rest_until
), job AS (
    INSERT INTO wa.session_job (session, kind, reason, run_at)
    SELECT name, $5, $4, coalesce(rest_until, now() + coalesce(
        $6::float8, power(2, least(failures, 10) - 1) * (0.75 + random() / 2)) * interval '1 second')
    FROM written WHERE desired = 'connected'
    ON CONFLICT DO NOTHING
), told AS (
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT name, session_id, 'session_resting', jsonb_build_object('failures', failures, 'until', rest_until, 'reason', $4::text)
    FROM written WHERE rest_until IS NOT NULL
)
SELECT EXISTS (SELECT FROM held) AS "held!"

-- Writes that a session lost its connection, and queues the job that brings it back, while the session should be
-- connected. Two jobs of that kind never wait for one session. Share-locks the lease; locks the session's row.
WITH input (session_id, epoch, status, reason, job, wait) AS NOT MATERIALIZED (
    -- Not materialized, so that the planner sees constants. job: reconnect, or link when the session is not linked
    -- yet. wait: seconds until the job; null backs off by the failures in a row: 1, 2, 4, 8 s with jitter, and from
    -- the fifth on after 5 minutes of rest.
    SELECT $1::bigint, $2::bigint, ($3::text)::wa.session_status, $4::text, $5::text, $6::float8
), held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease JOIN input USING (session_id, epoch) WHERE holder IS NOT NULL FOR SHARE OF lease
), written AS (
    -- The session with its new status and backoff.
    UPDATE wa.session s
    SET status = input.status, status_reason = input.reason,
        failures = s.failures + CASE WHEN input.wait IS NULL THEN 1 ELSE 0 END,
        rest_until = CASE WHEN input.wait IS NULL AND s.failures >= 4 THEN now() + interval '5 minutes' END
    FROM held JOIN input USING (session_id) WHERE s.session_id = held.session_id
    RETURNING s.session_id, s.name, s.desired, s.failures, s.rest_until, input.reason, input.job, input.wait
), job AS (
    -- The job, unless one of that kind waits.
    INSERT INTO wa.session_job (session, kind, reason, run_at)
    SELECT name, job, reason, coalesce(rest_until, now() + coalesce(
        wait, power(2, least(failures, 10) - 1) * (0.75 + random() / 2)) * interval '1 second')
    FROM written WHERE desired = 'connected'
    ON CONFLICT DO NOTHING
), event AS (
    -- The event, when the session rests.
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT name, session_id, 'session_resting', jsonb_build_object('failures', failures, 'until', rest_until, 'reason', reason)
    FROM written WHERE rest_until IS NOT NULL
)
SELECT EXISTS (SELECT FROM held) AS "held!"

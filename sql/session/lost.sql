-- Writes that a connection of a session ended or could not be made, adds the event connection_ended, and queues the job
-- that makes the next connection, while the session should be connected. Two jobs of that kind never wait for one
-- session; of two ends, the later one says when. Share-locks the lease; locks the session's row, without waiting, and
-- then the job; with the former nobody else queues a job of that kind.
WITH input (session_id, epoch, status, reason, job, wait, ended, code, advice) AS NOT MATERIALIZED (
    -- Not materialized, so that the planner sees constants. job: reconnect, or link when the session is not linked
    -- yet. wait: seconds until the job; null backs off by the failures in a row: 1, 2, 4, 8 s, then rests of 5, 10, 20,
    -- 40 minutes and an hour, all with jitter, so that sessions that failed together do not return together. 0 is at once.
    SELECT $1::bigint, $2::bigint, ($3::text)::wa.session_status, $4::text, $5::text, $6::float8, $7::text, $8::integer, $9::text
), held AS (
    -- The lease, if the session is still held under this epoch.
    SELECT session_id FROM wa.lease JOIN input USING (session_id, epoch) WHERE holder IS NOT NULL FOR SHARE OF lease
), own AS (
    -- The session's row. An error at once when an application has locked it: the worker tries again later, and holds
    -- meanwhile neither the lease nor a connection (R8).
    SELECT session_id FROM wa.session WHERE session_id = $1 FOR NO KEY UPDATE NOWAIT
), due AS (
    -- The wait, as it applies: a code of WhatsApp that asks for a connection at once backs off when it comes again within a
    -- minute, because a server that goes on asking would be dialled without a pause. Looks at the latest events alone.
    SELECT CASE WHEN input.wait = 0 AND input.code IS NOT NULL AND EXISTS (
        SELECT FROM (
            SELECT e.kind, e.data, e.created_at FROM wa.event e WHERE e.session_id = input.session_id ORDER BY e.id DESC LIMIT 100
        ) latest
        WHERE latest.kind = 'connection_ended' AND latest.data ->> 'code' = input.code::text
          AND latest.created_at > now() - interval '1 minute'
    ) THEN NULL ELSE input.wait END AS wait
    FROM input
), written AS (
    -- The session with its new status and backoff, and until when it rests: after failures, a ban, or a limit.
    UPDATE wa.session s
    SET status = input.status, status_reason = input.reason, status_code = input.ended,
        failures = s.failures + CASE WHEN due.wait IS NULL THEN 1 ELSE 0 END,
        rest_until = CASE
            WHEN due.wait IS NULL AND s.failures >= 4
            THEN now() + least(300 * power(2, least(s.failures, 10) - 4), 3600) * (0.75 + random() / 2) * interval '1 second'
            WHEN input.ended IN ('banned', 'rate_limited') THEN now() + due.wait * interval '1 second'
        END
    FROM held JOIN own USING (session_id) JOIN input USING (session_id), due WHERE s.session_id = held.session_id
    RETURNING s.session_id, s.name, s.desired, s.failures, s.rest_until,
              input.reason, input.job, due.wait, input.ended, input.code, input.advice
), job AS (
    -- The job. A link that somebody has asked for stays as it is.
    INSERT INTO wa.session_job AS j (session, kind, reason, run_at)
    SELECT name, job, reason, coalesce(rest_until, now() + coalesce(
        wait, power(2, least(failures, 10) - 1) * (0.75 + random() / 2)) * interval '1 second')
    FROM written WHERE desired = 'connected'
    ON CONFLICT (session_id, kind) WHERE status = 'queued' AND NOT action
    DO UPDATE SET run_at = EXCLUDED.run_at, reason = EXCLUDED.reason WHERE j.kind = 'reconnect'
), events AS (
    -- The end, and whether the session rests.
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT w.name, w.session_id, 'connection_ended', jsonb_strip_nulls(jsonb_build_object(
        'end', w.ended, 'code', w.code, 'reason', w.reason, 'advice', w.advice, 'until', w.rest_until))
    FROM written w
    UNION ALL
    SELECT w.name, w.session_id, 'session_resting',
           jsonb_build_object('failures', w.failures, 'until', w.rest_until, 'reason', w.reason)
    FROM written w WHERE w.rest_until IS NOT NULL AND w.wait IS NULL
)
SELECT EXISTS (SELECT FROM held) AS "held!"

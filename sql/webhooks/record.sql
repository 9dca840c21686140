-- Writes what became of deliveries of webhook $1, under epoch $2 of worker $3, and how the receiver answers. One array
-- element for each delivery: its id ($4), its outcome ($5: done, retry, dead, cancelled, or wait behind another one of
-- its chat), the HTTP status ($6), the error ($7), the answer ($8), and the pause until it is tried again in seconds ($9),
-- null when there was no attempt; $17 are its attempts before this one, so that an outcome counts once. Locks the lease and the deliveries, which nobody but workers can lock.
--
-- The receiver: $10 failures in a row, $11 seconds for which nothing is posted, $18 whether its breaker is open, $12 when there was an
-- attempt whether the last one failed, $13 and $14 the status and error of the last failure, $15 why the webhook is
-- disabled now (null: it is not), $16 whether the breaker has just opened. Returns whether the epoch still holds.
WITH held AS (
    -- The lease.
    UPDATE wa.webhook_lease l
    SET failures = $10,
        failing_since = CASE WHEN $10 > 0 THEN coalesce(l.failing_since, now()) END,
        open_until = CASE WHEN $18::boolean THEN now() + coalesce($11::float8, 0) * interval '1 second' END,
        not_before = now() + $11 * interval '1 second',
        attempted_at = CASE WHEN $12::boolean IS NULL THEN l.attempted_at ELSE now() END,
        delivered_at = CASE WHEN 'done' = ANY ($5::text[]) THEN now() ELSE l.delivered_at END,
        last_code = CASE WHEN $12 THEN $13 ELSE l.last_code END,
        last_error = CASE WHEN $12 THEN $14 ELSE l.last_error END,
        disabled_at = CASE WHEN $15::text IS NULL THEN l.disabled_at ELSE clock_timestamp() END,
        disabled_reason = CASE WHEN $15::text IS NULL THEN l.disabled_reason ELSE $15 END
    WHERE l.webhook_id = $1 AND l.epoch = $2 AND l.worker_id = $3
    RETURNING l.webhook_id
), input (id, outcome, code, error, response, pause, attempts) AS (
    SELECT * FROM unnest($4::bigint[], $5::text[], $6::integer[], $7::text[], $8::text[], $9::float8[], $17::integer[])
), changed AS (
    -- The deliveries.
    UPDATE wa.delivery d
    SET status = CASE i.outcome WHEN 'retry' THEN 'queued' WHEN 'wait' THEN 'waiting' ELSE i.outcome END,
        attempts = d.attempts + (i.pause IS NOT NULL)::integer,
        run_at = CASE i.outcome WHEN 'retry' THEN now() + i.pause * interval '1 second' ELSE d.run_at END,
        attempted_at = CASE WHEN i.pause IS NULL THEN d.attempted_at ELSE now() END,
        finished_at = CASE WHEN i.outcome IN ('done', 'dead', 'cancelled') THEN now() END,
        code = CASE i.outcome WHEN 'wait' THEN d.code ELSE i.code END,
        last_error = coalesce(i.error, d.last_error),
        response = CASE WHEN i.pause IS NULL THEN d.response ELSE i.response END
    FROM input i CROSS JOIN held
    WHERE d.id = i.id AND d.webhook_id = $1 AND d.status = 'queued' AND d.attempts = i.attempts
    RETURNING i.outcome, extract(epoch FROM now() - greatest(d.happened_at, d.created_at, d.replayed_at))::float8 AS seconds
), counted AS (
    -- The counts of this minute.
    SELECT date_trunc('minute', now()) AS at, count(*) FILTER (WHERE outcome = 'done') AS delivered,
           count(*) FILTER (WHERE outcome IN ('retry', 'dead')) AS failed, count(*) FILTER (WHERE outcome = 'dead') AS dead,
           coalesce(sum(seconds) FILTER (WHERE outcome = 'done'), 0) AS latency_seconds,
           ARRAY(SELECT count(c.outcome)::integer
                 FROM generate_series(0, cardinality(wa.latency_bounds())) AS place
                 LEFT JOIN changed c ON c.outcome = 'done' AND width_bucket(c.seconds, wa.latency_bounds()) = place
                 GROUP BY place ORDER BY place) AS latency
    FROM changed WHERE outcome IN ('done', 'retry', 'dead') HAVING count(*) > 0
), numbers AS (
    INSERT INTO wa.webhook_numbers AS n (webhook_id, at, delivered, failed, dead, latency_seconds, latency)
    SELECT $1, at, delivered, failed, dead, latency_seconds, latency FROM counted
    ON CONFLICT (webhook_id, at) DO UPDATE
    SET delivered = n.delivered + EXCLUDED.delivered, failed = n.failed + EXCLUDED.failed, dead = n.dead + EXCLUDED.dead,
        latency_seconds = n.latency_seconds + EXCLUDED.latency_seconds,
        latency = ARRAY(SELECT coalesce(a, 0) + coalesce(b, 0) FROM unnest(n.latency, EXCLUDED.latency) AS both_of (a, b))
), event AS (
    -- The events: of the session if the webhook is for one alone, and otherwise of its tenants.
    INSERT INTO wa.event (session, session_id, tenants, kind, data)
    SELECT s.name, s.session_id, CASE WHEN s.session_id IS NULL THEN w.tenants END, e.kind, e.data
    FROM held JOIN wa.webhook w USING (webhook_id) LEFT JOIN wa.session s ON cardinality(w.session_ids) = 1 AND s.session_id = w.session_ids[1]
    CROSS JOIN LATERAL (
        SELECT 'webhook_failing' AS kind, jsonb_build_object('webhook', w.name, 'failures', $10::integer, 'error', $14::text) AS data WHERE $16::boolean
        UNION ALL
        SELECT 'webhook_disabled', jsonb_build_object('webhook', w.name, 'reason', $15::text) WHERE $15::text IS NOT NULL
    ) e
)
SELECT EXISTS (SELECT FROM held) AS "held!"

-- Reading wa.numbers (H2): series for plots, and sums by class, session and campaign. None of these reads messages.

-- The one list of classes; a test compares it with wa.outbound, wa.numbers, src/jobs/failure.rs and docs/messages.md.
CREATE OR REPLACE FUNCTION wa.failure_classes() RETURNS TABLE (class text, meaning text, remedy text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ VALUES
    ('not_on_whatsapp', 'The recipient has no WhatsApp account.', 'Correct the number, or remove it from the list.'),
    ('refused', 'WhatsApp refused the message: the session may not write to this chat, or not in this way.', 'Look at the group: is the session in it, and may it write?'),
    ('limited', 'WhatsApp limits the number: too many messages, or too many new chats.', 'Wait and set a pacing (wa.set_pacing), then wa.resume and wa.retry.'),
    ('content', 'The row is no message that can be sent: a field is wrong, or a message that it refers to is missing.', 'Correct the row in a new INSERT.'),
    ('media', 'The file cannot be fetched, read or uploaded, or does not fit its kind.', 'Correct the file or its address, then wa.retry.'),
    ('connection', 'WhatsApp did not answer in time, or the connection was lost at each attempt.', 'wa.retry once the session is connected.'),
    ('server', 'WhatsApp''s servers had an error of their own at each attempt.', 'wa.retry later.'),
    ('worker', 'The worker could not finish an attempt: it ended with the message in hand, or its own code failed.', 'Read the error and the log of the worker; wa.retry, and report what fails again.')
$$;
COMMENT ON FUNCTION wa.failure_classes() IS 'Classes of failures (wa.outbound.failure): what each means and what helps. SELECT * FROM wa.failure_classes();';

CREATE OR REPLACE FUNCTION wa.latency_bounds() RETURNS double precision[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT '{0.1,0.25,0.5,1,2.5,5,10,30,60,300,1800}'::double precision[]
$$;
COMMENT ON FUNCTION wa.latency_bounds() IS 'Upper bounds of the counts in wa.numbers.latency, in seconds. The last count has no bound.';

CREATE OR REPLACE FUNCTION wa.latency_percentile(counts bigint[], share double precision, total double precision DEFAULT NULL) RETURNS double precision
-- A loop, because a series asks thousands of times.
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bounds CONSTANT double precision[] := wa.latency_bounds();
    wanted double precision := 0;
    low    double precision := 0;
    count  bigint;
    -- What the messages took beyond the lower bounds of their counts, all together: none took more beyond its own.
    beyond double precision := total;
BEGIN
    FOR n IN 1 .. coalesce(cardinality(counts), 0) LOOP
        count := coalesce(counts[n], 0);
        wanted := wanted + count * share;
        beyond := beyond - count * CASE WHEN n > 1 THEN bounds[n - 1] ELSE 0 END;
    END LOOP;
    FOR n IN 1 .. coalesce(cardinality(counts), 0) LOOP
        count := coalesce(counts[n], 0);
        IF count > 0 AND count >= wanted THEN
            -- Null leaves it out.
            RETURN low + least((coalesce(bounds[n], low) - low) * wanted / count, CASE WHEN beyond < 0 THEN 0 ELSE beyond END);
        END IF;
        wanted := wanted - count;
        low := coalesce(bounds[n], low);
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.latency_percentile(bigint[], double precision, double precision) IS 'The time in seconds within which a share (0 to 1) of the messages were sent, about, from counts as in wa.numbers.latency; null without any. Within each count the times are taken as even; longer than the last bound counts as that bound. With total, the sum of all times, never more than the longest of them can have been.';

CREATE OR REPLACE FUNCTION wa.check_series(since interval, step interval, campaign text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seconds constant numeric := extract(epoch FROM step);
    bad      text;
    accepted text;
BEGIN
    SELECT c.name, c.accepted INTO bad, accepted FROM (VALUES
        ('step', coalesce(extract(year FROM step) = 0 AND extract(month FROM step) = 0 AND seconds BETWEEN 60 AND 2678400 AND seconds % 60 = 0, false),
         'whole minutes, 1 minute to 31 days'),
        ('since', coalesce(since BETWEEN interval '1 minute' AND interval '36500 days', false), '1 minute to 36500 days'),
        ('since', coalesce(extract(epoch FROM since) <= 3000 * seconds, false), 'at most 3000 steps'),
        ('step', coalesce(seconds % 3600 = 0 OR campaign IS NULL AND since <= interval '48 hours', false),
         'whole hours, for a campaign and for more than 48 hours')
    ) AS c (name, holds, accepted) WHERE NOT c.holds LIMIT 1;
    IF bad IS NOT NULL THEN
        RAISE EXCEPTION '%: not accepted', bad USING ERRCODE = 'WA047', COLUMN = bad, HINT = 'Accepted: ' || accepted || '.';
    END IF;
END $$;
COMMENT ON FUNCTION wa.check_series(interval, interval, text) IS 'Checks the arguments of wa.numbers_since; error WA047 names one that it refuses.';

CREATE OR REPLACE FUNCTION wa.seen_tenants(tenant text) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN seen_tenants.tenant IS NOT NULL THEN ARRAY[wa.existing_tenant(seen_tenants.tenant)]
                WHEN NOT wa.sees_all() THEN wa.my_tenants() END
$$;
COMMENT ON FUNCTION wa.seen_tenants(text) IS 'The tenants whose numbers a caller asks for: the one that is named (error WA012 if the caller does not see it), else all that it sees; null is every tenant.';

CREATE OR REPLACE FUNCTION wa.numbers_since(
    session text DEFAULT NULL, since interval DEFAULT '1 day', step interval DEFAULT '1 hour', tenant text DEFAULT NULL, campaign text DEFAULT NULL
) RETURNS TABLE (
    at timestamptz, queued bigint, sent bigint, delivered bigint, delivered_soon bigint, read bigint, played bigint, failed bigint,
    failures jsonb, expired bigint, received bigint, first_contacts bigint, bad_macs bigint, bad_decrypts bigint,
    mean_seconds double precision, median_seconds double precision, p95_seconds double precision
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    of_session bigint;
    tenants    text[];
    origin     CONSTANT timestamptz := '2001-01-01Z';
    began      timestamptz;
    of_span    text;
BEGIN
    PERFORM wa.check_series(numbers_since.since, numbers_since.step, numbers_since.campaign);
    IF numbers_since.session IS NOT NULL THEN
        of_session := wa.session_id(numbers_since.session);
    END IF;
    tenants := wa.seen_tenants(numbers_since.tenant);
    began := date_bin(numbers_since.step, now() - numbers_since.since, origin);
    of_span := CASE WHEN extract(epoch FROM numbers_since.step) % 3600 = 0 THEN 'hour' ELSE 'minute' END;
    RETURN QUERY
    -- Of these five at most one reads rows.
    WITH picked AS (
        SELECT n.* FROM wa.numbers n
        WHERE of_session IS NOT NULL AND numbers_since.campaign IS NULL
          AND n.session_id = of_session AND n.tenant IS NULL AND n.campaign IS NULL AND n.span = of_span AND n.at >= began
        UNION ALL
        SELECT n.* FROM wa.numbers n
        WHERE of_session IS NULL AND numbers_since.campaign IS NULL
          AND n.session_id IS NULL AND n.tenant = ANY (tenants) AND n.campaign IS NULL AND n.span = of_span AND n.at >= began
        UNION ALL
        SELECT n.* FROM wa.numbers n
        WHERE of_session IS NULL AND numbers_since.campaign IS NULL AND tenants IS NULL
          AND n.session_id IS NULL AND n.tenant IS NULL AND n.campaign IS NULL AND n.span = of_span AND n.at >= began
        UNION ALL
        SELECT n.* FROM wa.numbers n
        WHERE numbers_since.campaign IS NOT NULL AND of_session IS NOT NULL
          AND n.session_id = of_session AND n.tenant IS NULL AND n.campaign = numbers_since.campaign AND n.span = 'hour' AND n.at >= began
        UNION ALL
        SELECT n.* FROM wa.numbers n
        WHERE numbers_since.campaign IS NOT NULL AND of_session IS NULL
          AND n.session_id IS NULL AND n.campaign = numbers_since.campaign AND n.at >= began AND (tenants IS NULL OR n.tenant = ANY (tenants))
    ), added AS (
        SELECT date_bin(numbers_since.step, p.at, origin) AS point,
               sum(p.queued) AS queued, sum(p.sent) AS sent, sum(p.delivered) AS delivered, sum(p.delivered_soon) AS delivered_soon,
               sum(p.read) AS read, sum(p.played) AS played, sum(p.failed) AS failed,
               jsonb_strip_nulls(jsonb_build_object(
                   'not_on_whatsapp', sum(p.failed_not_on_whatsapp), 'refused', sum(p.failed_refused), 'limited', sum(p.failed_limited),
                   'content', sum(p.failed_content), 'media', sum(p.failed_media), 'connection', sum(p.failed_connection),
                   'server', sum(p.failed_server), 'worker', sum(p.failed_worker))) AS failures,
               sum(p.expired) AS expired, sum(p.received) AS received, sum(p.first_contacts) AS first_contacts,
               sum(p.bad_macs) AS bad_macs, sum(p.bad_decrypts) AS bad_decrypts, sum(p.latency_seconds) AS latency_seconds,
               ARRAY[sum(p.latency[1]), sum(p.latency[2]), sum(p.latency[3]), sum(p.latency[4]), sum(p.latency[5]), sum(p.latency[6]),
                     sum(p.latency[7]), sum(p.latency[8]), sum(p.latency[9]), sum(p.latency[10]), sum(p.latency[11]), sum(p.latency[12])] AS latency
        FROM picked p GROUP BY 1
    )
    SELECT series.point, coalesce(a.queued, 0), coalesce(a.sent, 0), coalesce(a.delivered, 0), coalesce(a.delivered_soon, 0),
           coalesce(a.read, 0), coalesce(a.played, 0), coalesce(a.failed, 0), coalesce(a.failures, '{}'), coalesce(a.expired, 0),
           coalesce(a.received, 0), coalesce(a.first_contacts, 0), coalesce(a.bad_macs, 0), coalesce(a.bad_decrypts, 0),
           a.latency_seconds / nullif(a.sent, 0), CASE WHEN a.sent > 0 THEN wa.latency_percentile(a.latency, 0.5, a.latency_seconds) END,
           CASE WHEN a.sent > 0 THEN wa.latency_percentile(a.latency, 0.95, a.latency_seconds) END
    FROM generate_series(began, now(), numbers_since.step) AS series (point) LEFT JOIN added a USING (point)
    ORDER BY series.point;
END $$;
COMMENT ON FUNCTION wa.numbers_since(text, interval, interval, text, text) IS 'What happened in each step of time up to now, with zeros where nothing did: of a session, of a tenant, or of everything that the caller sees; of one campaign, if one is named. Steps begin at multiples of step, in UTC; the last one is not over. Steps of less than an hour go back 48 hours. failures counts failed by class; the seconds are those from INSERT, or send_at, to sent, null where nothing was sent. SELECT at, sent, delivered, failed FROM wa.numbers_since(''shop'', ''1 day'', ''1 hour'');';

CREATE OR REPLACE FUNCTION wa.failures_since(session text DEFAULT NULL, since interval DEFAULT '1 day', tenant text DEFAULT NULL)
RETURNS TABLE (class text, failed bigint, meaning text, remedy text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.class, coalesce(f.failed, 0), c.meaning, c.remedy
    FROM wa.failure_classes() WITH ORDINALITY c (class, meaning, remedy, place)
    LEFT JOIN (
        SELECT e.key, sum(e.value::bigint)::bigint AS failed
        FROM wa.numbers_since(failures_since.session, failures_since.since,
                              CASE WHEN failures_since.since > interval '90 days' THEN interval '1 day' ELSE interval '1 hour' END,
                              failures_since.tenant) n
        CROSS JOIN LATERAL jsonb_each_text(n.failures) e
        GROUP BY e.key
    ) f ON f.key = c.class
    ORDER BY 2 DESC, c.place
$$;
COMMENT ON FUNCTION wa.failures_since(text, interval, text) IS 'How many messages failed, by class, since the beginning of the hour (of the day, for more than 90 days) so long ago: of a session, of a tenant, or of everything that the caller sees; every class is there. Messages that were retried since are counted, too; wa.failure has those that are failed now. SELECT class, failed, remedy FROM wa.failures_since(''shop'', ''1 day'');';

CREATE OR REPLACE FUNCTION wa.session_numbers(since interval DEFAULT '3 hours', tenant text DEFAULT NULL)
RETURNS TABLE (
    session text, tenant_name text, queued bigint, sent bigint, delivered bigint, undelivered bigint, read bigint, failed bigint,
    expired bigint, received bigint, first_contacts bigint, bad_macs bigint, bad_decrypts bigint, failed_share double precision,
    undelivered_share double precision
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.name, s.tenant, n.queued, n.sent, n.delivered, n.old_sent - n.old_delivered, n.read, n.failed, n.expired, n.received,
           n.first_contacts, n.bad_macs, n.bad_decrypts, n.failed::float8 / nullif(n.failed + n.sent, 0),
           (n.old_sent - n.old_delivered)::float8 / nullif(n.old_sent, 0)
    FROM (
        SELECT h.session_id, sum(h.queued) AS queued, sum(h.sent) AS sent, sum(h.delivered) AS delivered, sum(h.read) AS read,
               sum(h.failed) AS failed, sum(h.expired) AS expired, sum(h.received) AS received, sum(h.first_contacts) AS first_contacts,
               sum(h.bad_macs) AS bad_macs, sum(h.bad_decrypts) AS bad_decrypts,
               -- Of the hours that ended an hour ago.
               coalesce(sum(h.sent) FILTER (WHERE h.at <= now() - interval '2 hours'), 0) AS old_sent,
               coalesce(sum(h.delivered_soon) FILTER (WHERE h.at <= now() - interval '2 hours'), 0) AS old_delivered
        FROM wa.numbers h
        WHERE h.span = 'hour' AND h.campaign IS NULL AND h.session_id IS NOT NULL
          AND h.at >= date_trunc('hour', now() - session_numbers.since, 'UTC')
        GROUP BY h.session_id
    ) n
    JOIN wa.session s USING (session_id)
    WHERE session_numbers.tenant IS NULL OR s.tenant = wa.existing_tenant(session_numbers.tenant)
$$;
COMMENT ON FUNCTION wa.session_numbers(interval, text) IS 'What happened in each session since the beginning of the hour so long ago; sessions in which nothing did are left out. undelivered and undelivered_share are about the messages of the hours that ended at least an hour ago: what was sent in them and not delivered within an hour. Reads one row for each session and hour. SELECT session, failed_share, undelivered_share FROM wa.session_numbers(''6 hours'') ORDER BY undelivered_share DESC NULLS LAST LIMIT 20;';

CREATE OR REPLACE FUNCTION wa.campaign_numbers(session text DEFAULT NULL, since interval DEFAULT '30 days', tenant text DEFAULT NULL)
RETURNS TABLE (
    session_name text, campaign text, queued bigint, sent bigint, delivered bigint, read bigint, played bigint, failed bigint, expired bigint,
    first_at timestamptz, last_at timestamptz
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.name, n.campaign, n.queued, n.sent, n.delivered, n.read, n.played,
           CASE WHEN n.campaign = '' THEN n.failed ELSE (
               SELECT count(*) FROM wa.outbound_failed f WHERE f.session_id = n.session_id AND f.campaign = n.campaign) END,
           n.expired, n.first_at, n.last_at
    FROM (
        SELECT h.session_id, h.campaign, sum(h.queued) AS queued, sum(h.sent) AS sent, sum(h.delivered) AS delivered, sum(h.read) AS read,
               sum(h.played) AS played, sum(h.failed) AS failed, sum(h.expired) AS expired, min(h.at) AS first_at, max(coalesce(h.last_at, h.at)) AS last_at
        FROM wa.numbers h
        WHERE h.campaign IS NOT NULL AND h.session_id IS NOT NULL AND h.at >= date_trunc('hour', now() - campaign_numbers.since, 'UTC')
        GROUP BY h.session_id, h.campaign
    ) n
    JOIN wa.session s USING (session_id)
    WHERE (campaign_numbers.session IS NULL OR s.session_id = wa.session_id(campaign_numbers.session))
      AND (campaign_numbers.tenant IS NULL OR s.tenant = wa.existing_tenant(campaign_numbers.tenant))
    ORDER BY n.last_at DESC, s.name, n.campaign
$$;
COMMENT ON FUNCTION wa.campaign_numbers(text, interval, text) IS 'The funnel of each campaign of each session, from the hours since the beginning of the hour so long ago; first_at is the first hour in which something happened, last_at the last minute. failed is how many messages of the campaign are failed now; one that was retried is not among them. Messages that wait are not counted: wa.campaigns counts them, and reads the messages. SELECT * FROM wa.campaign_numbers(''shop'');';

CREATE OR REPLACE VIEW wa.rate WITH (security_invoker = on) AS
SELECT s.name AS session, s.tenant,
       coalesce(sum(n.sent) FILTER (WHERE n.at >= date_trunc('minute', now()) - interval '1 minute' AND n.at < date_trunc('minute', now())), 0)::bigint AS sent_last_minute,
       coalesce(sum(n.sent), 0)::bigint AS sent_last_hour,
       wa.latency_percentile(ARRAY[sum(n.latency[1]), sum(n.latency[2]), sum(n.latency[3]), sum(n.latency[4]), sum(n.latency[5]), sum(n.latency[6]),
                                   sum(n.latency[7]), sum(n.latency[8]), sum(n.latency[9]), sum(n.latency[10]), sum(n.latency[11]), sum(n.latency[12])],
                             0.5, sum(n.latency_seconds)) AS median_seconds_to_sent
FROM wa.session s
LEFT JOIN wa.numbers n ON n.session_id = s.session_id AND n.tenant IS NULL AND n.campaign IS NULL AND n.span = 'minute' AND n.at > now() - interval '1 hour'
GROUP BY s.session_id, s.name, s.tenant;
COMMENT ON VIEW wa.rate IS 'Messages that each session sent in the last full minute and in the last hour, and the median time from INSERT (or send_at) to WhatsApp''s server: sums of wa.numbers, which a worker writes once a minute. SELECT * FROM wa.rate;';
COMMENT ON COLUMN wa.rate.sent_last_minute IS 'Messages that WhatsApp''s server accepted in the last full minute.';
COMMENT ON COLUMN wa.rate.sent_last_hour IS 'Messages that WhatsApp''s server accepted in the last hour.';
COMMENT ON COLUMN wa.rate.median_seconds_to_sent IS 'Median of the last hour, about.';

-- Pacing (Q13): how many messages a session may send now, and the functions that set it. Times are the database's.

-- A claim computes the pacing of many sessions in one statement, so none of these functions raises an error, whatever
-- the rows hold (R10). What a check refuses today may be there: a time zone ends when the server's list of them changes
-- (an upgrade, a restore on another system), and the owner of the schema may write any row.

CREATE OR REPLACE FUNCTION wa.known_zone(p wa.pacing) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The list of all zones would take thousands of times as long.
    RETURN CASE WHEN now() AT TIME ZONE p.time_zone IS NOT NULL THEN p.time_zone END;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.known_zone(wa.pacing) IS 'The time zone of a pacing; null if the server does not know it. Then days are those of UTC, and a session with quiet hours sends nothing.';

CREATE OR REPLACE FUNCTION wa.today(p wa.pacing) RETURNS date
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT (now() AT TIME ZONE coalesce(wa.known_zone(p), 'UTC'))::date $$;
COMMENT ON FUNCTION wa.today(wa.pacing) IS 'The current day in the time zone of a pacing.';

CREATE OR REPLACE FUNCTION wa.tomorrow(p wa.pacing) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ((now() AT TIME ZONE zone)::date + 1)::timestamp AT TIME ZONE zone FROM coalesce(wa.known_zone(p), 'UTC') zone
$$;
COMMENT ON FUNCTION wa.tomorrow(wa.pacing) IS 'The start of the next day in the time zone of a pacing.';

CREATE OR REPLACE FUNCTION wa.is_quiet(p wa.pacing) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN p.quiet_from IS NULL THEN false
        -- When they are, nobody knows.
        WHEN clock.time IS NULL THEN true
        WHEN p.quiet_from <= p.quiet_until THEN clock.time >= p.quiet_from AND clock.time < p.quiet_until
        ELSE clock.time >= p.quiet_from OR clock.time < p.quiet_until
    END
    FROM (SELECT (now() AT TIME ZONE CASE WHEN p.quiet_from IS NOT NULL THEN wa.known_zone(p) END)::time AS time) clock
$$;
COMMENT ON FUNCTION wa.is_quiet(wa.pacing) IS 'Whether it is now within the quiet hours of a pacing, or may be, because the server does not know its time zone.';

CREATE OR REPLACE FUNCTION wa.quiet_end(p wa.pacing) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT (clock.now::date + p.quiet_until + CASE WHEN clock.now::time < p.quiet_until THEN interval '0' ELSE interval '1 day' END)
           AT TIME ZONE clock.zone
    FROM (SELECT zone, now() AT TIME ZONE zone AS now FROM wa.known_zone(p) zone) clock
$$;
COMMENT ON FUNCTION wa.quiet_end(wa.pacing) IS 'When the quiet hours of a pacing next end; null if the server does not know its time zone.';

CREATE OR REPLACE FUNCTION wa.contacts_left(p wa.pacing, b wa.sending) RETURNS integer
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.first_contacts - CASE WHEN b.contacts_on = wa.today(p) THEN greatest(b.contacts_today, 0) ELSE 0 END
$$;
COMMENT ON FUNCTION wa.contacts_left(wa.pacing, wa.sending) IS 'How many first contacts a paced session may make today.';

CREATE OR REPLACE FUNCTION wa.pace(p wa.pacing, b wa.sending, OUT quota integer, OUT reason wa.wait_reason, OUT tokens double precision)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    reason := 'paced';
    -- The bucket fills with time, up to the burst; a bucket that was never counted is full, and so is one that was counted
    -- a century ago. Of NaN and a number the least is the number.
    tokens := CASE WHEN p.per_minute IS NULL THEN p.burst
                   WHEN b.counted_at < now() - interval '100 years' THEN p.burst
                   ELSE greatest(0, least(p.burst, greatest(0, least(p.burst, b.tokens)) + p.per_minute / 60
                                                   * extract(epoch FROM now() - least(b.counted_at, now()))::float8)) END;
    IF b.gate_until > now() THEN
        quota := -1;
    ELSIF wa.is_quiet(p) THEN
        quota := 0;
        reason := 'quiet_hours';
    ELSE
        quota := CASE WHEN p.jitter > '0' THEN least(1, floor(tokens))
                      WHEN p.per_minute IS NULL THEN 2147483647
                      ELSE floor(tokens) END;
    END IF;
END $$;
COMMENT ON FUNCTION wa.pace(wa.pacing, wa.sending) IS 'How many messages a paced session may send now (-1: nothing before gate_until), the reason for the limit, and the tokens in its bucket.';

CREATE OR REPLACE FUNCTION wa.gate(p wa.pacing, reason wa.wait_reason, tokens double precision) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE until timestamptz := now();
BEGIN
    IF reason = 'quiet_hours' THEN
        -- When they end in an unknown time zone, nobody knows. Somebody may have given the pacing another one by then;
        -- wa.set_pacing opens the gate at once.
        RETURN coalesce(wa.quiet_end(p), now() + interval '10 minutes');
    END IF;
    IF p.per_minute IS NOT NULL AND tokens < 1 THEN
        until := until + (1 - tokens) * 60 / p.per_minute * interval '1 second';
    END IF;
    -- Seconds, because months and days of an interval may be far apart and yet cancel out in a comparison.
    RETURN until + random() * least(greatest(extract(epoch FROM p.jitter)::float8, 0), 600) * interval '1 second';
END $$;
COMMENT ON FUNCTION wa.gate(wa.pacing, wa.wait_reason, double precision) IS 'When the next message of a paced session may go.';

CREATE OR REPLACE FUNCTION wa.pacing_before_write() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bad      text;
    given    text;
    accepted text;
BEGIN
    SELECT c.name, coalesce(left(c.given, 80), 'null'), c.accepted INTO bad, given, accepted FROM (VALUES
        ('per_minute', NEW.per_minute::text, NEW.per_minute BETWEEN 0.001 AND 6000, '0.001 to 6000 messages a minute, or null for no limit'),
        ('burst', NEW.burst::text, coalesce(NEW.burst BETWEEN 1 AND 10000, false), '1 to 10000 messages'),
        ('jitter', NEW.jitter::text, coalesce(NEW.jitter BETWEEN interval '0' AND interval '10 minutes' AND extract(epoch FROM NEW.jitter) BETWEEN 0 AND 600, false),
         '0 to 10 minutes'),
        ('first_contacts', NEW.first_contacts::text, NEW.first_contacts >= 0, '0 or more a day, or null for no limit'),
        ('quiet_until', format('%s with quiet_from %s', coalesce(NEW.quiet_until::text, 'null'), coalesce(NEW.quiet_from::text, 'null')),
         (NEW.quiet_from IS NULL) = (NEW.quiet_until IS NULL) AND coalesce(NEW.quiet_from <> NEW.quiet_until, true),
         'together with quiet_from, and another time than it'),
        ('time_zone', '"' || NEW.time_zone || '"', wa.is_time_zone(NEW.time_zone), 'a name of pg_timezone_names, such as Europe/Berlin'),
        ('typing', NEW.typing::text, NEW.typing IS NOT NULL, 'true or false')
    ) AS c (name, given, holds, accepted) WHERE NOT c.holds LIMIT 1;
    IF bad IS NOT NULL THEN
        RAISE EXCEPTION '%: % is not accepted', bad, given USING ERRCODE = 'WA013', COLUMN = bad, HINT = 'Accepted: ' || accepted || '.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION wa.pacing_before_write() IS 'Row trigger of wa.pacing: checks every column; error WA013 names it, its value and what is accepted.';
CREATE OR REPLACE TRIGGER validate BEFORE INSERT OR UPDATE ON wa.pacing
    FOR EACH ROW EXECUTE FUNCTION wa.pacing_before_write();

CREATE OR REPLACE FUNCTION wa.set_pacing(
    session text, per_minute double precision DEFAULT NULL, burst integer DEFAULT NULL, jitter interval DEFAULT NULL,
    first_contacts integer DEFAULT NULL, quiet_from time DEFAULT NULL, quiet_until time DEFAULT NULL,
    time_zone text DEFAULT NULL, typing boolean DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE of_session CONSTANT bigint := wa.session_id(set_pacing.session);
BEGIN
    PERFORM wa.must_send();
    -- Before any other row: a claim that has this row of the session inserts into wa.contacted, too.
    PERFORM FROM wa.sending b WHERE b.session_id = of_session FOR UPDATE;
    -- Chats that the session has written to before the limit begins are not first contacts.
    IF first_contacts IS NOT NULL AND NOT EXISTS (SELECT FROM wa.pacing w WHERE w.session_id = of_session AND w.first_contacts IS NOT NULL) THEN
        INSERT INTO wa.contacted (session_id, chat)
        SELECT DISTINCT o.session_id, o.chat FROM wa.outbound o WHERE o.session_id = of_session AND o.sent_at IS NOT NULL
        ON CONFLICT DO NOTHING;
    END IF;
    -- Two statements, because the check of an INSERT would not see what the row keeps.
    INSERT INTO wa.pacing (session_id) VALUES (of_session) ON CONFLICT ON CONSTRAINT pacing_pkey DO NOTHING;
    UPDATE wa.pacing w SET
        per_minute = coalesce(set_pacing.per_minute, w.per_minute), burst = coalesce(set_pacing.burst, w.burst),
        jitter = coalesce(set_pacing.jitter, w.jitter), first_contacts = coalesce(set_pacing.first_contacts, w.first_contacts),
        quiet_from = coalesce(set_pacing.quiet_from, w.quiet_from), quiet_until = coalesce(set_pacing.quiet_until, w.quiet_until),
        time_zone = coalesce(set_pacing.time_zone, w.time_zone), typing = coalesce(set_pacing.typing, w.typing)
    WHERE w.session_id = of_session;
    PERFORM wa.unpace(of_session);
END $$;
COMMENT ON FUNCTION wa.set_pacing(text, double precision, integer, interval, integer, time, time, text, boolean) IS 'Sets the pacing of a session, or changes it: arguments that are left out, or null, keep their value. wa.clear_pacing removes a limit. SELECT wa.set_pacing(''shop'', per_minute => 20, burst => 5, jitter => ''3 s'', quiet_from => ''22:00'', quiet_until => ''07:00'', time_zone => ''Europe/Berlin'');';

CREATE OR REPLACE FUNCTION wa.clear_pacing(session text, what text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE id bigint := wa.session_id(clear_pacing.session);
BEGIN
    PERFORM wa.must_send();
    IF what IS NULL THEN
        DELETE FROM wa.pacing p WHERE p.session_id = id;
    ELSIF what IN ('per_minute', 'first_contacts', 'quiet_hours') THEN
        UPDATE wa.pacing p SET
            per_minute = CASE WHEN what <> 'per_minute' THEN p.per_minute END,
            first_contacts = CASE WHEN what <> 'first_contacts' THEN p.first_contacts END,
            quiet_from = CASE WHEN what <> 'quiet_hours' THEN p.quiet_from END,
            quiet_until = CASE WHEN what <> 'quiet_hours' THEN p.quiet_until END
        WHERE p.session_id = id;
    ELSE
        RAISE EXCEPTION 'what: "%" is not a limit', left(what, 80)
            USING ERRCODE = 'WA013', COLUMN = 'what', HINT = 'Accepted: per_minute, first_contacts or quiet_hours; null for the whole pacing.';
    END IF;
    PERFORM wa.unpace(id);
END $$;
COMMENT ON FUNCTION wa.clear_pacing(text, text) IS 'Removes the pacing of a session, or one limit of it: per_minute, first_contacts or quiet_hours. SELECT wa.clear_pacing(''shop'', ''per_minute'');';

CREATE OR REPLACE FUNCTION wa.unpace(id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM wa.must_send();
    IF NOT wa.sees(id) THEN
        RETURN;
    END IF;
    UPDATE wa.sending b SET gate_until = '-infinity' WHERE b.session_id = unpace.id;
    UPDATE wa.outbound_queue q SET waits_for = NULL, run_at = NULL
    WHERE q.session_id = unpace.id AND q.waits_for IN ('paced', 'quiet_hours', 'first_contact');
    PERFORM wa.wake(ARRAY[unpace.id]);
END $$;
COMMENT ON FUNCTION wa.unpace(bigint) IS 'Releases the queued messages that an earlier pacing of a session (by its id) holds back.';

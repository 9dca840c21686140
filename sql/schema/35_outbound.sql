-- Outbound messages at INSERT: an error that can be known then is raised then, and names the column and what is
-- accepted (Q3).

CREATE OR REPLACE FUNCTION wa.new_message_id() RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    -- Only those digits of random UUIDs that are random.
    SELECT '3EB0' || upper(right(gen_random_uuid()::text, 12) || left(gen_random_uuid()::text, 6))
$$;
COMMENT ON FUNCTION wa.new_message_id() IS 'A WhatsApp message id as web clients make them: 3EB0 and 18 random hex digits.';

-- Runs for every inserted row, so a plain text takes a short way; wa.check_message and wa.check_outbound_orders find
-- the errors.
CREATE OR REPLACE FUNCTION wa.outbound_before_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE region text;
BEGIN
    SELECT s.session_id, s.region INTO NEW.session_id, region FROM wa.session s WHERE s.name = NEW.session;
    IF NEW.session_id IS NULL THEN
        NEW.session_id := wa.session_id(NEW.session);
    END IF;
    NEW.chat := CASE WHEN NEW.recipient ~ '^\+?[1-9][0-9]{6,14}$' AND (region IS NULL OR NEW.recipient LIKE '+%')
                     THEN ltrim(NEW.recipient, '+') || '@s.whatsapp.net'
                     ELSE wa.chat_jid(NEW.recipient, region) END;
    IF NEW.kind IS DISTINCT FROM 'text' OR NEW.content IS NOT NULL OR NEW.chat = 'status@broadcast'
        OR coalesce(NEW.body, '') = '' OR octet_length(NEW.body) > 65536
    THEN
        NEW.content := wa.check_message(NEW.session, NEW.kind, NEW.chat, NEW.body, NEW.content);
    END IF;
    IF NEW.message_id IS NULL THEN
        -- As in wa.new_message_id, without the call.
        NEW.message_id := '3EB0' || upper(right(gen_random_uuid()::text, 12) || left(gen_random_uuid()::text, 6));
    ELSIF NEW.message_id !~ '^[0-9A-Z]{8,40}$' THEN
        RAISE EXCEPTION 'message_id: "%" is not a WhatsApp message id', left(NEW.message_id, 80)
            USING ERRCODE = 'WA006', COLUMN = 'message_id',
                  HINT = 'Leave it out, or give 8 to 40 digits and capital letters.';
    END IF;
    IF NEW.priority IS DISTINCT FROM 0 OR NEW.max_attempts IS DISTINCT FROM 10
        OR NEW.send_at IS NOT NULL OR NEW.expires_at IS NOT NULL OR NEW.dedupe_key IS NOT NULL OR NEW.campaign IS NOT NULL
    THEN
        PERFORM wa.check_outbound_orders(NEW);
    END IF;
    -- Columns that workers alone write.
    NEW.status := 'queued';
    NEW.waits_for := CASE WHEN NEW.send_at > now() THEN 'scheduled' END;
    NEW.run_at := coalesce(NEW.send_at, now());
    NEW.attempts := 0;
    NEW.errors := '[]';
    NEW.created_at := now();
    IF num_nonnulls(NEW.last_error, NEW.sending_at, NEW.sent_at, NEW.delivered_at, NEW.read_at, NEW.played_at,
                    NEW.failed_at, NEW.cancelled_at, NEW.expired_at, NEW.failure) > 0
    THEN
        NEW.last_error := NULL;
        NEW.sending_at := NULL;
        NEW.sent_at := NULL;
        NEW.delivered_at := NULL;
        NEW.read_at := NULL;
        NEW.played_at := NULL;
        NEW.failed_at := NULL;
        NEW.cancelled_at := NULL;
        NEW.expired_at := NULL;
        NEW.failure := NULL;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION wa.outbound_before_insert() IS 'Row trigger of wa.outbound: checks every column, fills chat and message_id.';
CREATE OR REPLACE TRIGGER validate BEFORE INSERT ON wa.outbound
    FOR EACH ROW EXECUTE FUNCTION wa.outbound_before_insert();

CREATE OR REPLACE FUNCTION wa.send(
    session text, recipient text, kind text, body text DEFAULT NULL, content jsonb DEFAULT NULL, priority integer DEFAULT 0,
    send_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL, dedupe_key text DEFAULT NULL, max_attempts integer DEFAULT 10
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    made       bigint;
    of_session bigint;
BEGIN
    -- The argument is an integer: with a smallint every caller would have to write 5::smallint.
    IF send.priority NOT BETWEEN -100 AND 100 THEN
        RAISE EXCEPTION 'priority: % is out of range', send.priority
            USING ERRCODE = 'WA011', COLUMN = 'priority', HINT = 'Accepted: -100 to 100; larger goes first.';
    END IF;
    INSERT INTO wa.outbound AS o (session, recipient, kind, body, content, priority, send_at, expires_at, dedupe_key, max_attempts)
    VALUES (send.session, send.recipient, send.kind, send.body, send.content, send.priority, send.send_at, send.expires_at,
            send.dedupe_key, send.max_attempts)
    ON CONFLICT (session_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
    RETURNING o.id INTO made;
    IF made IS NULL THEN
        of_session := wa.session_id(send.session);
        SELECT o.id INTO made FROM wa.outbound o
        WHERE o.session_id = of_session AND o.dedupe_key = send.dedupe_key;
    END IF;
    RETURN made;
END $$;
COMMENT ON FUNCTION wa.send(text, text, text, text, jsonb, integer, timestamptz, timestamptz, text, integer) IS 'Queues a message of any kind and returns the id of its row in wa.outbound; with a dedupe_key that exists already, the first row''s id, whatever became of that message. wa.send_text and the like do the same for one kind each. SELECT wa.send(''shop'', ''+79001234567'', ''location'', content => ''{"latitude": 52.5, "longitude": 13.4}'');';

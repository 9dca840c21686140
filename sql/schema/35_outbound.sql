-- Outbound messages at INSERT: an error that can be known then is raised then, and names the column and what is
-- accepted (Q3).

-- A message id that wagres makes looks random and names its row: 3EB0, as web clients begin, then 44 bits of the row's id
-- under a mask, then the 28 random bits from which, with the key of the session, the mask is made. So a receipt finds its
-- row by the primary key, and a large random index is spared (P8, P10). Inlined, hence without a search_path.
CREATE OR REPLACE FUNCTION wa.made_id(key text, message_id text) RETURNS bigint LANGUAGE sql IMMUTABLE
RETURN CASE WHEN message_id ~ '^3EB0[0-9A-F]{18}$'
            THEN ('x' || substr(message_id, 5, 11))::bit(44)::bigint # ('x' || left(md5(substr(message_id, 16) || key), 11))::bit(44)::bigint END;
COMMENT ON FUNCTION wa.made_id(text, text) IS 'The id of the row of wa.outbound for which wagres made this message id, in a session with this key; of any other message id a number that means nothing, or null.';

CREATE OR REPLACE FUNCTION wa.outbound_id(session_id bigint, message_id text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT o.id FROM wa.session s JOIN wa.outbound o ON o.id = wa.made_id(s.message_key, outbound_id.message_id)
    WHERE s.session_id = outbound_id.session_id AND o.session_id = s.session_id AND o.message_id = outbound_id.message_id
    UNION ALL
    SELECT o.id FROM wa.outbound o WHERE o.session_id = outbound_id.session_id AND o.message_id = outbound_id.message_id AND o.given_id
    LIMIT 1
$$;
COMMENT ON FUNCTION wa.outbound_id(bigint, text) IS 'The row of wa.outbound with this message id, in a session (by its id); null if there is none. SELECT * FROM wa.outbound WHERE id = wa.outbound_id(wa.session_id(''shop''), ''3EB0…'');';

-- Runs for every inserted row, so a plain text takes a short way; wa.check_message and wa.check_outbound_orders find
-- the errors.
CREATE OR REPLACE FUNCTION wa.outbound_before_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    region text;
    key    text;
    random text;
BEGIN
    SELECT s.session_id, s.region, s.message_key INTO NEW.session_id, region, key FROM wa.session s WHERE s.name = NEW.session;
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
    NEW.given_id := NEW.message_id IS NOT NULL;
    IF NOT NEW.given_id THEN
        -- Digits of a random UUID that are random. The inverse of wa.made_id.
        random := upper(right(gen_random_uuid()::text, 7));
        NEW.message_id := '3EB0' || upper(lpad(to_hex(NEW.id # ('x' || left(md5(random || key), 11))::bit(44)::bigint), 11, '0')) || random;
    ELSIF NEW.message_id !~ '^[0-9A-Z]{8,40}$' THEN
        RAISE EXCEPTION 'message_id: "%" is not a WhatsApp message id', left(NEW.message_id, 80)
            USING ERRCODE = 'WA006', COLUMN = 'message_id',
                  HINT = 'Leave it out, or give 8 to 40 digits and capital letters.';
    ELSIF EXISTS (SELECT FROM wa.outbound o WHERE o.id = wa.made_id(key, NEW.message_id) AND o.session_id = NEW.session_id AND o.message_id = NEW.message_id) THEN
        RAISE EXCEPTION 'message_id: this session has a message "%"', NEW.message_id
            USING ERRCODE = 'unique_violation', COLUMN = 'message_id', TABLE = 'outbound', SCHEMA = 'wa',
                  HINT = 'Leave it out, or give one that no other message of the session has.';
    END IF;
    IF NEW.priority IS DISTINCT FROM 0 OR NEW.max_attempts IS DISTINCT FROM 10
        OR NEW.send_at IS NOT NULL OR NEW.expires_at IS NOT NULL OR NEW.dedupe_key IS NOT NULL OR NEW.campaign IS NOT NULL
    THEN
        PERFORM wa.check_outbound_orders(NEW);
    END IF;
    -- Columns that workers alone write.
    NEW.status := 'queued';
    NEW.apart := NEW.send_at IS NOT NULL OR NEW.campaign IS NOT NULL;
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

-- With its owner's rights, because nobody else writes the queue and not everybody sees the workers.
CREATE OR REPLACE FUNCTION wa.outbound_after_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- What wa.outbound_campaign has noted of the campaigns of this transaction.
    campaigns CONSTANT jsonb := nullif(current_setting('wagres.campaigns', true), '');
BEGIN
    IF TG_RELID <> 'wa.outbound'::regclass THEN
        RAISE EXCEPTION 'wa.outbound_after_insert is the trigger of wa.outbound alone' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO wa.outbound_queue (session_id, id, rank, chat, campaign, waits_for, run_at, expires_at)
    SELECT n.session_id, n.id, -n.priority, n.chat, n.campaign, n.waits_for, CASE WHEN n.waits_for IS NOT NULL THEN coalesce(n.send_at, now()) END, n.expires_at
    FROM (
        SELECT f.*, CASE WHEN f.campaign IS NOT NULL AND (campaigns -> (f.session_id || ' ' || f.campaign))::boolean THEN 'paused'::wa.wait_reason
                         WHEN f.send_at > now() THEN 'scheduled' END AS waits_for
        FROM fresh f
    ) n;
    IF FOUND AND EXISTS (SELECT FROM wa.worker WHERE parked) THEN
        PERFORM wa.wake(ARRAY(SELECT DISTINCT f.session_id FROM fresh f));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.outbound_after_insert() IS 'Statement trigger of wa.outbound: queues new messages and wakes the workers that can send them.';
CREATE OR REPLACE TRIGGER queue AFTER INSERT ON wa.outbound
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION wa.outbound_after_insert();

CREATE OR REPLACE FUNCTION wa.outbound_after_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_RELID <> 'wa.outbound'::regclass THEN
        RAISE EXCEPTION 'wa.outbound_after_delete is the trigger of wa.outbound alone' USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM wa.outbound_queue q WHERE q.session_id = OLD.session_id AND q.chat = OLD.chat AND q.id = OLD.id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.outbound_after_delete() IS 'Row trigger of wa.outbound: a live message that is deleted leaves the queue.';
CREATE OR REPLACE TRIGGER unqueue AFTER DELETE ON wa.outbound
    FOR EACH ROW WHEN (OLD.status IN ('queued', 'sending')) EXECUTE FUNCTION wa.outbound_after_delete();

-- Not for each change of a message: the condition lets only those through that fail, or that had failed.
CREATE OR REPLACE FUNCTION wa.outbound_after_failure() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_RELID <> 'wa.outbound'::regclass THEN
        RAISE EXCEPTION 'wa.outbound_after_failure is the trigger of wa.outbound alone' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.failed_at IS NULL THEN
        DELETE FROM wa.outbound_failed f WHERE f.id = NEW.id;
    ELSE
        INSERT INTO wa.outbound_failed (id, session_id, failed_at, failure, campaign)
        VALUES (NEW.id, NEW.session_id, NEW.failed_at, NEW.failure, NEW.campaign)
        ON CONFLICT ON CONSTRAINT outbound_failed_pkey DO UPDATE
        SET failed_at = EXCLUDED.failed_at, failure = EXCLUDED.failure, campaign = EXCLUDED.campaign;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.outbound_after_failure() IS 'Row trigger of wa.outbound: keeps wa.outbound_failed.';
CREATE OR REPLACE TRIGGER failure AFTER UPDATE OF failed_at, failure ON wa.outbound
    FOR EACH ROW WHEN (OLD.failed_at IS DISTINCT FROM NEW.failed_at OR OLD.failure IS DISTINCT FROM NEW.failure) EXECUTE FUNCTION wa.outbound_after_failure();

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

-- Outbound messages: everything that can be known to be wrong is refused at INSERT, by column and with what is accepted.

CREATE OR REPLACE FUNCTION wa.new_message_id() RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT '3EB0' || upper(left(replace(gen_random_uuid()::text, '-', ''), 12) || right(gen_random_uuid()::text, 6))
$$;
COMMENT ON FUNCTION wa.new_message_id() IS 'A WhatsApp message id as web clients make them: 3EB0 and 18 random hex digits.';

CREATE OR REPLACE FUNCTION wa.chat_jid(recipient text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    trimmed text := btrim(recipient);
    digits  text;
BEGIN
    IF trimmed ~ '^[1-9][0-9]{4,19}@(s\.whatsapp\.net|lid)$' OR trimmed ~ '^[0-9]{5,20}(-[0-9]{5,20})?@g\.us$' THEN
        RETURN trimmed;
    END IF;
    IF trimmed ~ '^\+?[0-9][0-9 ().-]*$' THEN
        digits := regexp_replace(trimmed, '[^0-9]', '', 'g');
        IF digits ~ '^[1-9][0-9]{6,14}$' THEN
            RETURN digits || '@s.whatsapp.net';
        END IF;
    END IF;
    RAISE EXCEPTION 'recipient: % is not a phone number or JID', coalesce('"' || left(recipient, 80) || '"', 'null')
        USING ERRCODE = 'WA002', COLUMN = 'recipient',
              HINT = 'Accepted: an international number of 7 to 15 digits such as +79001234567, or a JID that ends in @s.whatsapp.net, @lid or @g.us.';
END $$;
COMMENT ON FUNCTION wa.chat_jid(text) IS 'The JID that a recipient stands for; error WA002 when it is neither an international phone number nor a JID.';

CREATE OR REPLACE FUNCTION wa.outbound_before_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.session_id := wa.session_id(NEW.session);
    NEW.chat := wa.chat_jid(NEW.recipient);
    IF NEW.kind IS DISTINCT FROM 'text' THEN
        RAISE EXCEPTION 'kind: % is not a kind of message', coalesce('"' || left(NEW.kind, 80) || '"', 'null')
            USING ERRCODE = 'WA004', COLUMN = 'kind', HINT = 'Accepted: text.';
    END IF;
    IF NEW.body IS NULL OR NEW.body = '' THEN
        RAISE EXCEPTION 'body: missing; a text message needs 1 to 65536 characters'
            USING ERRCODE = 'WA003', COLUMN = 'body';
    ELSIF length(NEW.body) > 65536 THEN
        RAISE EXCEPTION 'body: % characters are too many; a text message takes 1 to 65536', length(NEW.body)
            USING ERRCODE = 'WA003', COLUMN = 'body';
    END IF;
    NEW.message_id := coalesce(NEW.message_id, wa.new_message_id());
    IF NEW.message_id !~ '^[0-9A-Z]{8,40}$' THEN
        RAISE EXCEPTION 'message_id: "%" is not a WhatsApp message id', left(NEW.message_id, 80)
            USING ERRCODE = 'WA006', COLUMN = 'message_id',
                  HINT = 'Leave it out, or give 8 to 40 digits and capital letters.';
    END IF;
    -- What the worker alone may say.
    NEW.status := 'queued';
    NEW.attempts := 0;
    NEW.run_at := coalesce(NEW.run_at, now());
    NEW.created_at := now();
    NEW.sending_at := NULL;
    NEW.sent_at := NULL;
    NEW.delivered_at := NULL;
    NEW.read_at := NULL;
    NEW.played_at := NULL;
    NEW.failed_at := NULL;
    NEW.last_error := NULL;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION wa.outbound_before_insert() IS 'Row trigger of wa.outbound: checks every column, fills chat and message_id.';
CREATE OR REPLACE TRIGGER validate BEFORE INSERT ON wa.outbound
    FOR EACH ROW EXECUTE FUNCTION wa.outbound_before_insert();

-- Progress is announced per row; pg_notify folds equal payloads of one transaction.
CREATE OR REPLACE FUNCTION wa.outbound_announce() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('wa_status', json_build_object(
        'id', NEW.id, 'session', NEW.session, 'status', NEW.status)::text);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.outbound_announce() IS 'Row trigger of wa.outbound: NOTIFY wa_status with {"id","session","status"}.';
CREATE OR REPLACE TRIGGER announce AFTER UPDATE OF status ON wa.outbound
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION wa.outbound_announce();

CREATE OR REPLACE FUNCTION wa.send_text(session text, recipient text, body text) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO wa.outbound (session, recipient, body)
    VALUES (send_text.session, send_text.recipient, send_text.body) RETURNING id
$$;
COMMENT ON FUNCTION wa.send_text(text, text, text) IS 'Queues a text and returns the id of its row in wa.outbound. SELECT wa.send_text(''shop'', ''+79001234567'', ''Hello'');';

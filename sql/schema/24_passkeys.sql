-- Linking with a passkey (S2): the functions that people call, and the announcement of each stage.

CREATE OR REPLACE FUNCTION wa.passkey_after_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.stage IN ('requested', 'code', 'failed') THEN
        INSERT INTO wa.event (session, session_id, kind, data)
        VALUES (NEW.session, NEW.session_id, 'passkey_' || NEW.stage,
                jsonb_strip_nulls(jsonb_build_object('expires_at', NEW.expires_at, 'error', NEW.error)));
    END IF;
    PERFORM pg_notify('wa_session', json_build_object('session_id', NEW.session_id)::text);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.passkey_after_change() IS 'Row trigger of wa.passkey: NOTIFY wa_session with {"session_id"}, and an event when somebody has to act.';
CREATE OR REPLACE TRIGGER announce AFTER INSERT OR UPDATE OF stage ON wa.passkey
    FOR EACH ROW EXECUTE FUNCTION wa.passkey_after_change();

CREATE OR REPLACE FUNCTION wa.passkey_waits(session text, stage text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    id    bigint := wa.session_id(session);
    found wa.passkey;
BEGIN
    SELECT * INTO found FROM wa.passkey p WHERE p.session_id = id FOR UPDATE;
    IF found.stage IS DISTINCT FROM passkey_waits.stage OR found.expires_at <= now() THEN
        RAISE EXCEPTION 'session: % does not wait for this: %', passkey_waits.session, CASE
                WHEN found.stage IS NULL THEN 'WhatsApp has demanded no passkey for it'
                WHEN found.expires_at <= now() THEN 'its time is over'
                ELSE 'its stage is ' || found.stage END
            USING ERRCODE = 'WA026', COLUMN = 'session',
                  HINT = 'wa.passkey shows the stage: "requested" takes wa.answer_passkey, "code" takes wa.confirm_passkey or wa.refuse_passkey; after a failure scan the QR again.';
    END IF;
    RETURN id;
END $$;
COMMENT ON FUNCTION wa.passkey_waits(text, text) IS 'The id of a session whose passkey linking is at this stage; error WA026 otherwise.';

CREATE OR REPLACE FUNCTION wa.answer_passkey(session text, assertion jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    id   bigint;
    part text;
BEGIN
    PERFORM wa.must_send();
    id := wa.passkey_waits(answer_passkey.session, 'requested');
    FOREACH part IN ARRAY ARRAY['{id}', '{response,clientDataJSON}', '{response,authenticatorData}', '{response,signature}'] LOOP
        IF jsonb_typeof(assertion #> part::text[]) IS DISTINCT FROM 'string' OR assertion #>> part::text[] !~ '^[A-Za-z0-9_-]+=*$' THEN
            RAISE EXCEPTION 'assertion: % is missing or not base64url', array_to_string(part::text[], '.')
                USING ERRCODE = 'WA026', COLUMN = 'assertion',
                      HINT = 'Accepted: the result of PublicKeyCredential.toJSON() for the request in wa.passkey, in a browser on https://web.whatsapp.com.';
        END IF;
    END LOOP;
    UPDATE wa.passkey p SET stage = 'answered', answer = assertion, updated_at = now() WHERE p.session_id = id;
    RETURN wa.add_session_job(answer_passkey.session, 'passkey', 'the passkey was shown');
END $$;
COMMENT ON FUNCTION wa.answer_passkey(text, jsonb) IS 'Stores the answer of the passkey to wa.passkey.request, as PublicKeyCredential.toJSON() writes it. Returns the id of the job that continues. SELECT wa.answer_passkey(''shop'', ''{"id": …}'');';

CREATE OR REPLACE FUNCTION wa.confirm_passkey(session text, code text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE id bigint;
BEGIN
    PERFORM wa.must_send();
    id := wa.passkey_waits(confirm_passkey.session, 'code');
    IF NOT EXISTS (
        SELECT FROM wa.passkey p
        WHERE p.session_id = id AND replace(p.code, '-', '') = upper(regexp_replace(confirm_passkey.code, '[\s-]', '', 'g'))
    ) THEN
        RAISE EXCEPTION 'code: % is not the code of this linking', coalesce('"' || left(confirm_passkey.code, 20) || '"', 'null')
            USING ERRCODE = 'WA026', COLUMN = 'code',
                  HINT = 'Accepted: the eight characters that the phone shows. If they differ from wa.passkey.code, somebody intercepts the linking: wa.refuse_passkey ends it.';
    END IF;
    UPDATE wa.passkey p SET stage = 'confirmed', updated_at = now() WHERE p.session_id = id;
    RETURN wa.add_session_job(confirm_passkey.session, 'passkey', 'the code was confirmed');
END $$;
COMMENT ON FUNCTION wa.confirm_passkey(text, text) IS 'Confirms the code that the phone shows; when it is wa.passkey.code, the linking continues. Returns the id of the job. SELECT wa.confirm_passkey(''shop'', ''ABCD-EFGH'');';

CREATE OR REPLACE FUNCTION wa.refuse_passkey(session text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE id bigint;
BEGIN
    PERFORM wa.must_send();
    id := wa.passkey_waits(refuse_passkey.session, 'code');
    UPDATE wa.passkey p SET stage = 'failed', error = 'the phone shows another code', updated_at = now() WHERE p.session_id = id;
    RETURN wa.add_session_job(refuse_passkey.session, 'close', 'the phone shows another code');
END $$;
COMMENT ON FUNCTION wa.refuse_passkey(text) IS 'Ends a linking whose phone shows another code than wa.passkey.code, and disconnects the session: somebody may intercept it. wa.link begins another. Returns the id of the job. SELECT wa.refuse_passkey(''shop'');';

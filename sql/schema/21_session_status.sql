-- The state machine of a session. Every change of a status passes here, whoever makes it (S1).

CREATE OR REPLACE FUNCTION wa.next_statuses(status wa.session_status) RETURNS wa.session_status[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE status
        -- Connecting: the link was made, and its worker died before it could say so.
        WHEN 'new' THEN '{linking,connecting,disconnected,stopped}'
        WHEN 'linking' THEN '{connecting,connected,disconnected,banned,new,logged_out,stopped}'
        WHEN 'connecting' THEN '{connected,disconnected,banned,linking,logged_out,stopped}'
        WHEN 'connected' THEN '{disconnected,banned,logged_out,stopped}'
        WHEN 'disconnected' THEN '{connecting,linking,new,logged_out,stopped}'
        WHEN 'banned' THEN '{connecting,linking,logged_out,stopped}'
        WHEN 'logged_out' THEN '{linking,disconnected,stopped}'
        WHEN 'stopped' THEN '{connecting,linking,disconnected,logged_out}'
    END::wa.session_status[]
$$;
COMMENT ON FUNCTION wa.next_statuses(wa.session_status) IS 'What may come after a status; docs/sessions.md says what each means. SELECT wa.next_statuses(''connected'');';

CREATE OR REPLACE FUNCTION wa.needs_holder(status wa.session_status) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT status IN ('linking', 'connecting', 'connected')
$$;
COMMENT ON FUNCTION wa.needs_holder(wa.session_status) IS 'Whether a session can be so only while a worker holds it. What a dead worker left so is corrected first, and then taken by another one.';

CREATE OR REPLACE FUNCTION wa.session_becomes() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.status <> OLD.status THEN
        IF NEW.status <> ALL (wa.next_statuses(OLD.status)) THEN
            RAISE EXCEPTION 'status: session "%" is % and cannot become %', OLD.name, OLD.status, NEW.status
                USING ERRCODE = 'WA029', COLUMN = 'status', HINT = 'Accepted: ' || array_to_string(wa.next_statuses(OLD.status), ', ') || '.';
        END IF;
        NEW.status_at := now();
        INSERT INTO wa.event (session, session_id, kind, data)
        VALUES (NEW.name, NEW.session_id, 'session_' || NEW.status, jsonb_build_object('from', OLD.status, 'reason', NEW.status_reason));
    END IF;
    IF NEW.status <> 'linking' THEN
        NEW.qr := NULL;
        NEW.qr_expires_at := NULL;
        NEW.code := NULL;
        NEW.code_expires_at := NULL;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION wa.session_becomes() IS 'Row trigger of wa.session: refuses what cannot follow (error WA029), writes since when, tells of it in wa.event, and takes codes away that nobody can use any more.';
CREATE OR REPLACE TRIGGER becomes BEFORE UPDATE OF status ON wa.session
    FOR EACH ROW EXECUTE FUNCTION wa.session_becomes();

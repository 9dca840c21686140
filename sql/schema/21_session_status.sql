-- The state machine of a session. Every change of a status passes here, whoever makes it (S1).

CREATE OR REPLACE FUNCTION wa.next_statuses(status wa.session_status) RETURNS wa.session_status[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE status
        -- connecting: the device was linked, and the worker died before it wrote so.
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
COMMENT ON FUNCTION wa.next_statuses(wa.session_status) IS 'The statuses that may follow a status; docs/sessions.md explains each. SELECT wa.next_statuses(''connected'');';

CREATE OR REPLACE FUNCTION wa.needs_holder(status wa.session_status) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT status IN ('linking', 'connecting', 'connected')
$$;
COMMENT ON FUNCTION wa.needs_holder(wa.session_status) IS 'Whether a session has this status only while a worker holds it. A session that a dead worker left in it is corrected first, and then taken by another worker.';

CREATE OR REPLACE FUNCTION wa.status_code(reason text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN reason LIKE 'no pairing code: %' THEN 'no_code'
        ELSE (SELECT k.code FROM (VALUES
            ('scanned', 'scanned'),
            ('worker_gone', 'the worker that held it is gone'),
            ('worker_stopped', 'the worker stopped'),
            ('away', 'waits until WhatsApp can be reached again'),
            ('nothing_left', 'nothing was left of its last connection'),
            ('not_linked', 'not linked')) k (code, reason) WHERE k.reason = status_code.reason)
    END
$$;
COMMENT ON FUNCTION wa.status_code(text) IS 'The code of a reason that a worker gives for a status other than the end of a connection; null for all others, such as words of a person.';

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
COMMENT ON FUNCTION wa.session_becomes() IS 'Row trigger of wa.session: refuses a status that may not follow (error WA029), sets status_at, adds an event, and deletes codes that are no longer valid.';
CREATE OR REPLACE TRIGGER becomes BEFORE UPDATE OF status ON wa.session
    FOR EACH ROW EXECUTE FUNCTION wa.session_becomes();

-- Sessions: validation at insert, the lease that belongs to each, and the functions that people call.

CREATE OR REPLACE FUNCTION wa.session_id(session text) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE found_id bigint;
BEGIN
    IF session IS NULL THEN
        RAISE EXCEPTION 'session: missing; accepted is the name of a session' USING ERRCODE = 'WA001', COLUMN = 'session';
    END IF;
    SELECT s.session_id INTO found_id FROM wa.session s WHERE s.name = session;
    IF found_id IS NULL THEN
        RAISE EXCEPTION 'session: no session is named "%"', left(session, 80)
            USING ERRCODE = 'WA001', COLUMN = 'session',
                  HINT = 'Names stand in wa.session; SELECT wa.add_session(''shop'') makes one.';
    END IF;
    RETURN found_id;
END $$;
COMMENT ON FUNCTION wa.session_id(text) IS 'The id of the session with this name; error WA001 when there is none.';

CREATE OR REPLACE FUNCTION wa.session_before_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.name IS NULL OR NEW.name !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' THEN
        RAISE EXCEPTION 'name: "%" is not a session name', left(NEW.name, 80)
            USING ERRCODE = 'WA005', COLUMN = 'name',
                  HINT = 'Accepted: 1 to 63 letters, digits, dots, underscores and hyphens, the first a letter or digit.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION wa.session_before_insert() IS 'Row trigger of wa.session: checks the name.';
CREATE OR REPLACE TRIGGER validate BEFORE INSERT ON wa.session
    FOR EACH ROW EXECUTE FUNCTION wa.session_before_insert();

CREATE OR REPLACE FUNCTION wa.session_after_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO wa.lease (session_id) VALUES (NEW.session_id);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.session_after_insert() IS 'Row trigger of wa.session: gives each session its lease.';
CREATE OR REPLACE TRIGGER lease AFTER INSERT ON wa.session
    FOR EACH ROW EXECUTE FUNCTION wa.session_after_insert();

-- One place announces, whoever writes: QR codes and every change of status.
CREATE OR REPLACE FUNCTION wa.session_announce() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('wa_session', json_build_object(
        'session', NEW.name, 'status', NEW.status, 'reason', left(NEW.status_reason, 200), 'qr', NEW.qr)::text);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.session_announce() IS 'Row trigger of wa.session: NOTIFY wa_session with {"session","status","reason","qr"}.';
CREATE OR REPLACE TRIGGER announce AFTER UPDATE OF status, status_reason, qr ON wa.session
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.qr IS DISTINCT FROM NEW.qr)
    EXECUTE FUNCTION wa.session_announce();

-- A new holder finds what the old one left in flight. The same message id is sent again, so nothing shows twice (Q7).
CREATE OR REPLACE FUNCTION wa.lease_taken() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE wa.outbound SET status = 'queued', run_at = now()
    WHERE session_id = NEW.session_id AND status = 'sending';
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.lease_taken() IS 'Row trigger of wa.lease: requeues what the previous holder had in flight.';
CREATE OR REPLACE TRIGGER taken AFTER UPDATE OF epoch ON wa.lease
    FOR EACH ROW WHEN (OLD.epoch IS DISTINCT FROM NEW.epoch) EXECUTE FUNCTION wa.lease_taken();

CREATE OR REPLACE FUNCTION wa.session_job_before_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.session_id := wa.session_id(NEW.session);
    IF NEW.kind IS NULL OR NEW.kind NOT IN ('link', 'connect', 'reconnect', 'close', 'logout') THEN
        RAISE EXCEPTION 'kind: "%" is not a kind of session job', left(NEW.kind, 80)
            USING ERRCODE = 'WA004', COLUMN = 'kind', HINT = 'Accepted: link, connect, reconnect, close, logout.';
    END IF;
    NEW.status := 'queued';
    NEW.run_at := coalesce(NEW.run_at, now());
    -- The wish changes in the transaction that asks for it, so that a worker that dies before the job runs still
    -- knows what is wanted. A reconnect is the worker's own and wishes nothing.
    IF NEW.kind IN ('link', 'connect') THEN
        UPDATE wa.session SET desired = 'connected' WHERE session_id = NEW.session_id AND desired <> 'connected';
    ELSIF NEW.kind IN ('close', 'logout') THEN
        UPDATE wa.session SET desired = 'stopped' WHERE session_id = NEW.session_id AND desired <> 'stopped';
        UPDATE wa.session_job SET status = 'cancelled', finished_at = now(), last_error = 'superseded by ' || NEW.kind
        WHERE session_id = NEW.session_id AND status = 'queued' AND kind IN ('link', 'connect', 'reconnect');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION wa.session_job_before_insert() IS 'Row trigger of wa.session_job: checks session and kind, writes the wish.';
CREATE OR REPLACE TRIGGER validate BEFORE INSERT ON wa.session_job
    FOR EACH ROW EXECUTE FUNCTION wa.session_job_before_insert();

CREATE OR REPLACE FUNCTION wa.add_session(name text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE id bigint;
BEGIN
    INSERT INTO wa.session AS s (name) VALUES (add_session.name)
    ON CONFLICT ON CONSTRAINT session_name_key DO NOTHING RETURNING s.session_id INTO id;
    RETURN coalesce(id, wa.session_id(add_session.name));
END $$;
COMMENT ON FUNCTION wa.add_session(text) IS 'Makes a session with this name and returns its id; of an existing one, the id. SELECT wa.add_session(''shop'');';

CREATE OR REPLACE FUNCTION wa.add_session_job(session text, kind text, reason text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE job bigint;
BEGIN
    INSERT INTO wa.session_job AS j (session, kind, reason)
    VALUES (add_session_job.session, add_session_job.kind, add_session_job.reason)
    ON CONFLICT (session_id, kind) WHERE status = 'queued' DO UPDATE SET reason = coalesce(EXCLUDED.reason, j.reason), run_at = now()
    RETURNING j.id INTO job;
    RETURN job;
END $$;
COMMENT ON FUNCTION wa.add_session_job(text, text, text) IS 'Queues a session job at once, or brings forward the one of that kind that waits already; returns its id.';

CREATE OR REPLACE FUNCTION wa.link(session text) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$ SELECT wa.add_session_job(link.session, 'link') $$;
COMMENT ON FUNCTION wa.link(text) IS 'Links a phone: the QR text appears in wa.session.qr and on the channel wa_session. Connects when already linked. Returns the job''s id.';

CREATE OR REPLACE FUNCTION wa.connect(session text) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$ SELECT wa.add_session_job(connect.session, 'connect') $$;
COMMENT ON FUNCTION wa.connect(text) IS 'Connects a linked session again, after wa.close. Returns the job''s id.';

CREATE OR REPLACE FUNCTION wa.close(session text, reason text DEFAULT NULL) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$ SELECT wa.add_session_job(close.session, 'close', close.reason) $$;
COMMENT ON FUNCTION wa.close(text, text) IS 'Ends the connection and keeps the link. Messages stay queued until wa.connect. Returns the job''s id.';

CREATE OR REPLACE FUNCTION wa.logout(session text, reason text DEFAULT NULL) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$ SELECT wa.add_session_job(logout.session, 'logout', logout.reason) $$;
COMMENT ON FUNCTION wa.logout(text, text) IS 'Unlinks the device and deletes its auth state; to use it again it must be linked anew. The session must be connected, for WhatsApp has to be told. Returns the job''s id.';

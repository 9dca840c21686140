-- Sessions as rows: checks at INSERT, the rows that belong to each session, and the announcement of changes.

CREATE OR REPLACE FUNCTION wa.session_id(session text) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE found_id bigint;
BEGIN
    IF session IS NULL THEN
        RAISE EXCEPTION 'session: missing; accepted is the name of a session' USING ERRCODE = 'WA001', COLUMN = 'session';
    END IF;
    SELECT s.session_id INTO found_id FROM wa.session s WHERE s.name = session;
    IF found_id IS NULL OR NOT wa.sees(found_id) THEN
        RAISE EXCEPTION 'session: no session is named "%"', left(session, 80)
            USING ERRCODE = 'WA001', COLUMN = 'session',
                  HINT = 'Accepted: a name in wa.session, which shows a role the sessions of its tenants (wa.grant_tenant); SELECT wa.add_session(''shop'') adds one.';
    END IF;
    RETURN found_id;
END $$;
COMMENT ON FUNCTION wa.session_id(text) IS 'The id of the session with this name; error WA001 without one.';

CREATE OR REPLACE FUNCTION wa.add_session(name text, tenant text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE id bigint;
BEGIN
    PERFORM wa.must_write('wa.session', 'add sessions');
    INSERT INTO wa.session AS s (name, tenant) VALUES (add_session.name, add_session.tenant)
    ON CONFLICT ON CONSTRAINT session_name_key DO NOTHING RETURNING s.session_id INTO id;
    IF id IS NULL THEN
        SELECT s.session_id INTO id FROM wa.session s
        WHERE s.name = add_session.name AND s.tenant = coalesce(add_session.tenant, s.tenant);
    END IF;
    IF id IS NULL THEN
        -- The error does not tell whose session it is.
        RAISE EXCEPTION 'name: "%" is taken', add_session.name
            USING ERRCODE = 'WA005', COLUMN = 'name',
                  HINT = 'Accepted: a name that no other session of this database has, such as one that begins with the name of the tenant.';
    END IF;
    RETURN id;
END $$;
COMMENT ON FUNCTION wa.add_session(text, text) IS 'Adds a session with this name, unless the tenant has it already, and returns its id. Without a tenant: the only one that the caller sees, else "default". SELECT wa.add_session(''shop'');';

CREATE OR REPLACE FUNCTION wa.session_before_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.name IS NULL OR NEW.name !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' THEN
        RAISE EXCEPTION 'name: "%" is not a session name', left(NEW.name, 80)
            USING ERRCODE = 'WA005', COLUMN = 'name',
                  HINT = 'Accepted: 1 to 63 letters, digits, dots, underscores and hyphens, the first a letter or digit.';
    END IF;
    NEW.tenant := wa.chosen_tenant(NEW.tenant);
    -- Columns that workers alone write.
    NEW.status := 'new';
    NEW.status_reason := NULL;
    NEW.status_code := NULL;
    NEW.status_at := now();
    NEW.phone := NULL;
    NEW.jid := NULL;
    NEW.lid := NULL;
    NEW.limit_reason := NULL;
    NEW.limited_until := NULL;
    NEW.qr := NULL;
    NEW.qr_expires_at := NULL;
    NEW.link_phone := NULL;
    NEW.code := NULL;
    NEW.code_expires_at := NULL;
    NEW.rest_until := NULL;
    NEW.proxy := NULL;
    NEW.checked_at := NULL;
    NEW.wished_at := CASE WHEN NEW.desired = 'connected' THEN now() END;
    NEW.failures := 0;
    NEW.created_at := now();
    NEW.connected_at := NULL;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION wa.session_before_insert() IS 'Row trigger of wa.session: checks name and tenant.';
CREATE OR REPLACE TRIGGER validate BEFORE INSERT ON wa.session
    FOR EACH ROW EXECUTE FUNCTION wa.session_before_insert();

CREATE OR REPLACE FUNCTION wa.session_after_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO wa.lease (session_id) VALUES (NEW.session_id);
    INSERT INTO wa.sending (session_id) VALUES (NEW.session_id);
    PERFORM pg_notify('wa_session', json_build_object('session_id', NEW.session_id)::text);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.session_after_insert() IS 'Row trigger of wa.session: adds the lease and the state of sending, and announces the session on wa_session.';
CREATE OR REPLACE TRIGGER lease AFTER INSERT ON wa.session
    FOR EACH ROW EXECUTE FUNCTION wa.session_after_insert();

-- Messages go with their session, though without a foreign key (see wa.outbound in migrations), whoever deletes it. What
-- a transaction inserts meanwhile, retention deletes (lost_outbound.sql).
CREATE OR REPLACE FUNCTION wa.session_after_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_RELID <> 'wa.session'::regclass THEN
        RAISE EXCEPTION 'wa.session_after_delete is the trigger of wa.session alone' USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM wa.outbound WHERE session_id = OLD.session_id;
    DELETE FROM wa.outbound_queue WHERE session_id = OLD.session_id;
    PERFORM pg_notify('wa_session', json_build_object('session_id', OLD.session_id)::text);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.session_after_delete() IS 'Row trigger of wa.session: deletes its messages, and announces that on wa_session.';
CREATE OR REPLACE TRIGGER messages AFTER DELETE ON wa.session
    FOR EACH ROW EXECUTE FUNCTION wa.session_after_delete();

-- The one place that announces QR codes, pauses, limits, wishes, proxies and changes of status, whoever makes them. Everybody who may connect can
-- listen, so a notification says which row to read and nothing of it.
CREATE OR REPLACE FUNCTION wa.session_announce() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('wa_session', json_build_object('session_id', NEW.session_id)::text);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.session_announce() IS 'Row trigger of wa.session: NOTIFY wa_session with {"session_id"}.';
CREATE OR REPLACE TRIGGER announce AFTER UPDATE OF status, status_reason, desired, proxy, qr, code, paused_at, limit_reason, limited_until ON wa.session
    FOR EACH ROW WHEN ((OLD.status, OLD.status_reason, OLD.desired, OLD.proxy, OLD.qr, OLD.code, OLD.paused_at, OLD.limit_reason, OLD.limited_until)
                       IS DISTINCT FROM (NEW.status, NEW.status_reason, NEW.desired, NEW.proxy, NEW.qr, NEW.code, NEW.paused_at, NEW.limit_reason, NEW.limited_until))
    EXECUTE FUNCTION wa.session_announce();

-- Sessions: validation at insert, the lease that belongs to each, and the functions that people call.

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
    NEW.tenant := wa.existing_tenant(NEW.tenant);
    -- What the worker alone may say.
    NEW.status := 'new';
    NEW.status_reason := NULL;
    NEW.status_at := now();
    NEW.phone := NULL;
    NEW.jid := NULL;
    NEW.lid := NULL;
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
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.session_after_insert() IS 'Row trigger of wa.session: gives each session its lease and the books of its sending.';
CREATE OR REPLACE TRIGGER lease AFTER INSERT ON wa.session
    FOR EACH ROW EXECUTE FUNCTION wa.session_after_insert();

-- One place announces, whoever writes: QR codes and every change of status.
CREATE OR REPLACE FUNCTION wa.session_announce() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('wa_session', json_build_object(
        'session', NEW.name, 'status', NEW.status, 'reason', left(NEW.status_reason, 200), 'qr', NEW.qr, 'code', NEW.code)::text);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.session_announce() IS 'Row trigger of wa.session: NOTIFY wa_session with {"session","status","reason","qr","code"}.';
CREATE OR REPLACE TRIGGER announce AFTER UPDATE OF status, status_reason, qr, code ON wa.session
    FOR EACH ROW WHEN ((OLD.status, OLD.qr, OLD.code) IS DISTINCT FROM (NEW.status, NEW.qr, NEW.code))
    EXECUTE FUNCTION wa.session_announce();

-- Messages belong to their session, though without a foreign key (see wa.outbound in migrations).
CREATE OR REPLACE FUNCTION wa.session_after_delete() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM wa.outbound WHERE session_id = OLD.session_id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.session_after_delete() IS 'Row trigger of wa.session: its messages go with it.';
CREATE OR REPLACE TRIGGER messages AFTER DELETE ON wa.session
    FOR EACH ROW EXECUTE FUNCTION wa.session_after_delete();

CREATE OR REPLACE FUNCTION wa.attempt_error(attempt integer, error text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('attempt', attempt, 'at', now(), 'error', error)
$$;
COMMENT ON FUNCTION wa.attempt_error(integer, text) IS 'An entry of the errors of a job: {"attempt","at","error"}.';

-- What a holder had in hand when its hold ended without a word about it goes back to the queue. Of each chat the first
-- message may have been under way: that was an attempt. It is sent again under the same id, so nothing shows twice (Q7).
CREATE OR REPLACE FUNCTION wa.lease_ended() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    in_hand  bigint[];
    sessions text[];
    ids      bigint[];
    statuses wa.outbound_status[];
BEGIN
    SELECT taken INTO in_hand FROM wa.sending WHERE session_id = NEW.session_id FOR UPDATE;
    IF cardinality(in_hand) > 0 THEN
        WITH first AS (
            SELECT DISTINCT ON (o.chat) o.id FROM wa.outbound o
            WHERE o.session_id = NEW.session_id AND o.id = ANY (in_hand) AND o.live
            ORDER BY o.chat, o.id
        ), changed AS (
            UPDATE wa.outbound o
            SET status = CASE WHEN o.attempts + 1 >= o.max_attempts THEN 'failed' ELSE 'queued' END::wa.outbound_status,
                failed_at = CASE WHEN o.attempts + 1 >= o.max_attempts THEN now() END,
                attempts = o.attempts + 1,
                last_error = 'the worker ended while the message was on its way',
                errors = o.errors || wa.attempt_error(o.attempts + 1, 'the worker ended while the message was on its way')
            FROM first WHERE o.session_id = NEW.session_id AND o.id = first.id
            RETURNING o.session, o.id, o.status
        )
        SELECT array_agg(c.session), array_agg(c.id), array_agg(c.status) INTO sessions, ids, statuses FROM changed c;
        UPDATE wa.sending SET taken = '{}' WHERE session_id = NEW.session_id;
        IF ids IS NOT NULL THEN
            PERFORM wa.announce_status(sessions, ids, statuses);
        END IF;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.lease_ended() IS 'Row trigger of wa.lease: puts back what the holder had in hand.';
CREATE OR REPLACE TRIGGER ended AFTER UPDATE OF holder, epoch ON wa.lease
    FOR EACH ROW WHEN (OLD.holder IS NOT NULL AND (NEW.holder IS DISTINCT FROM OLD.holder OR NEW.epoch <> OLD.epoch))
    EXECUTE FUNCTION wa.lease_ended();

CREATE OR REPLACE FUNCTION wa.existing_tenant(tenant text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM wa.tenant t WHERE t.tenant = existing_tenant.tenant) THEN
        RAISE EXCEPTION 'tenant: % is not there', coalesce('"' || left(existing_tenant.tenant, 80) || '"', 'null')
            USING ERRCODE = 'WA012', COLUMN = 'tenant', HINT = 'Tenants stand in wa.tenant; SELECT wa.add_tenant(''acme'') makes one.';
    END IF;
    RETURN existing_tenant.tenant;
END $$;
COMMENT ON FUNCTION wa.existing_tenant(text) IS 'The name, if there is such a tenant; error WA012 when there is none.';

CREATE OR REPLACE FUNCTION wa.add_tenant(tenant text) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF tenant IS NULL OR tenant !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' THEN
        RAISE EXCEPTION 'tenant: % is not a name', coalesce('"' || left(tenant, 80) || '"', 'null')
            USING ERRCODE = 'WA012', COLUMN = 'tenant',
                  HINT = 'Accepted: 1 to 63 letters, digits, dots, underscores and hyphens, the first a letter or digit.';
    END IF;
    INSERT INTO wa.tenant (tenant) VALUES (add_tenant.tenant) ON CONFLICT ON CONSTRAINT tenant_pkey DO NOTHING;
    RETURN tenant;
END $$;
COMMENT ON FUNCTION wa.add_tenant(text) IS 'Makes a tenant, unless it is there. SELECT wa.add_tenant(''acme'');';

CREATE OR REPLACE FUNCTION wa.is_moment(at timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT at > '-infinity' AND at < '3000-01-01Z' $$;
COMMENT ON FUNCTION wa.is_moment(timestamptz) IS 'Whether a time can be waited for and shown by every program: finite, and before the year 3000.';

CREATE OR REPLACE FUNCTION wa.check_run_at(run_at timestamptz) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT wa.is_moment(run_at) THEN
        RAISE EXCEPTION 'run_at: % is not a moment to wait for', run_at
            USING ERRCODE = 'WA014', COLUMN = 'run_at', HINT = 'Accepted: a moment before the year 3000; leave it out for now.';
    END IF;
END $$;
COMMENT ON FUNCTION wa.check_run_at(timestamptz) IS 'Refuses a session or maintenance job that would wait for ever; error WA014.';

-- With its owner's rights: whoever may ask for a job may not write the wish otherwise.
CREATE OR REPLACE FUNCTION wa.session_job_before_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.session_id := wa.session_id(NEW.session);
    IF NEW.kind IS NULL OR NEW.kind NOT IN ('link', 'connect', 'reconnect', 'passkey', 'close', 'logout') AND NEW.kind NOT IN (SELECT a.kind FROM wa.actions() a) THEN
        RAISE EXCEPTION 'kind: "%" is not a kind of session job', left(NEW.kind, 80)
            USING ERRCODE = 'WA004', COLUMN = 'kind',
                  HINT = 'Accepted: link, connect, reconnect, passkey, close, logout, ' || (SELECT string_agg(a.kind, ', ') FROM wa.actions() a) || '.';
    END IF;
    NEW.args := wa.check_fields('args', NEW.kind, NEW.args, wa.region_of(NEW.session));
    NEW.result := NULL;
    NEW.run_at := coalesce(NEW.run_at, now());
    PERFORM wa.check_run_at(NEW.run_at);
    -- What the worker alone may say.
    NEW.status := 'queued';
    NEW.attempts := 0;
    NEW.worker_id := NULL;
    NEW.last_error := NULL;
    NEW.created_at := now();
    NEW.started_at := NULL;
    NEW.finished_at := NULL;
    -- The wish changes in the transaction that asks for it, so that a worker that dies before the job runs still
    -- knows what is wanted. A reconnect is the worker's own and wishes nothing.
    IF NEW.kind IN ('link', 'connect', 'passkey') THEN
        UPDATE wa.session SET desired = 'connected', wished_at = now() WHERE session_id = NEW.session_id AND desired <> 'connected';
    ELSIF NEW.kind IN ('close', 'logout') THEN
        UPDATE wa.session SET desired = 'stopped', wished_at = NULL WHERE session_id = NEW.session_id AND desired <> 'stopped';
        UPDATE wa.session_job SET status = 'cancelled', finished_at = now(), last_error = 'superseded by ' || NEW.kind
        WHERE session_id = NEW.session_id AND status = 'queued' AND kind IN ('link', 'connect', 'reconnect', 'passkey');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION wa.session_job_before_insert() IS 'Row trigger of wa.session_job: checks session and kind, writes the wish.';
CREATE OR REPLACE TRIGGER validate BEFORE INSERT ON wa.session_job
    FOR EACH ROW EXECUTE FUNCTION wa.session_job_before_insert();

CREATE OR REPLACE FUNCTION wa.add_session(name text, tenant text DEFAULT 'default') RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE id bigint;
BEGIN
    INSERT INTO wa.session AS s (name, tenant) VALUES (add_session.name, wa.existing_tenant(add_session.tenant))
    ON CONFLICT ON CONSTRAINT session_name_key DO NOTHING RETURNING s.session_id INTO id;
    RETURN coalesce(id, wa.session_id(add_session.name));
END $$;
COMMENT ON FUNCTION wa.add_session(text, text) IS 'Makes a session with this name and returns its id; of an existing one, the id. SELECT wa.add_session(''shop'');';

CREATE OR REPLACE FUNCTION wa.add_session_job(session text, kind text, reason text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE job bigint;
BEGIN
    PERFORM wa.must_send();
    INSERT INTO wa.session_job AS j (session, kind, reason)
    VALUES (add_session_job.session, add_session_job.kind, add_session_job.reason)
    ON CONFLICT (session_id, kind) WHERE status = 'queued' AND NOT action DO UPDATE SET reason = coalesce(EXCLUDED.reason, j.reason), run_at = now()
    RETURNING j.id INTO job;
    RETURN job;
END $$;
COMMENT ON FUNCTION wa.add_session_job(text, text, text) IS 'Queues a session job at once, or brings forward the one of that kind that waits already; returns its id.';

-- Codes that are asked for again and again get numbers blocked, so there are limits.
CREATE OR REPLACE FUNCTION wa.link(session text, phone text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    own_id bigint;
    digits text := regexp_replace(link.phone, '[^0-9]', '', 'g');
    job    bigint;
    links  bigint;
    codes  bigint;
BEGIN
    PERFORM wa.must_send();
    own_id := wa.session_id(link.session);
    IF link.phone IS NOT NULL AND (link.phone !~ '^\s*\+?[0-9][0-9 ().-]*$' OR digits !~ '^[1-9][0-9]{6,14}$') THEN
        RAISE EXCEPTION 'phone: "%" is not a phone number', left(link.phone, 80)
            USING ERRCODE = 'WA002', COLUMN = 'phone', HINT = 'Accepted: an international number of 7 to 15 digits such as +79001234567.';
    END IF;
    -- What workers queue by themselves has a reason.
    SELECT count(*) FILTER (WHERE j.session_id = own_id AND j.reason IS NULL), count(*) FILTER (WHERE j.phone = digits)
    INTO links, codes
    FROM wa.session_job j WHERE j.kind = 'link' AND j.created_at > now() - interval '1 hour';
    IF links >= 20 OR codes >= 5 THEN
        RAISE EXCEPTION '%', CASE WHEN codes >= 5 THEN format('phone: 5 pairing codes were asked for %s within an hour', digits)
                                  ELSE format('session: 20 links were asked for %s within an hour', link.session) END
            USING ERRCODE = 'WA028', COLUMN = CASE WHEN codes >= 5 THEN 'phone' ELSE 'session' END,
                  HINT = 'WhatsApp blocks numbers that ask for codes again and again; wait, or without a phone number scan the QR code.';
    END IF;
    UPDATE wa.session s SET link_phone = digits WHERE s.session_id = own_id AND s.link_phone IS DISTINCT FROM digits;
    job := wa.add_session_job(link.session, 'link');
    UPDATE wa.session_job j SET phone = digits WHERE j.id = job AND digits IS NOT NULL;
    RETURN job;
END $$;
COMMENT ON FUNCTION wa.link(text, text) IS 'Links a phone: the QR text appears in wa.session.qr and on the channel wa_session; with a phone number also a pairing code in wa.session.code. Connects when already linked. Returns the job''s id. SELECT wa.link(''shop''); SELECT wa.link(''shop'', ''+79001234567'');';

CREATE OR REPLACE FUNCTION wa.connect(session text) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$ SELECT wa.add_session_job(connect.session, 'connect') $$;
COMMENT ON FUNCTION wa.connect(text) IS 'Connects a linked session again, after wa.close. Returns the job''s id.';

CREATE OR REPLACE FUNCTION wa.close(session text, reason text DEFAULT NULL) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$ SELECT wa.add_session_job(close.session, 'close', close.reason) $$;
COMMENT ON FUNCTION wa.close(text, text) IS 'Ends the connection and keeps the link. Messages stay queued until wa.connect. Returns the job''s id.';

CREATE OR REPLACE FUNCTION wa.logout(session text, reason text DEFAULT NULL) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$ SELECT wa.add_session_job(logout.session, 'logout', logout.reason) $$;
COMMENT ON FUNCTION wa.logout(text, text) IS 'Unlinks the device and deletes its auth state; to use it again it must be linked anew. The session must be connected, for WhatsApp has to be told. Returns the job''s id.';

CREATE OR REPLACE FUNCTION wa.set_proxy(session text, url text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE of_session CONSTANT bigint := wa.session_id(set_proxy.session);
BEGIN
    PERFORM wa.must_send();
    IF url IS NULL THEN
        DELETE FROM wa.proxy p WHERE p.session_id = of_session;
    -- The value is not repeated: it may hold a password.
    ELSIF url !~ '^(http|socks5)://([^\s/@:]+(:[^\s/@:]*)?@)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$' OR length(url) > 1000
          OR substring(url FROM ':([0-9]+)$')::int NOT BETWEEN 1 AND 65535 THEN
        RAISE EXCEPTION 'url: this is no address of a proxy'
            USING ERRCODE = 'WA031', COLUMN = 'url',
                  HINT = 'Accepted: http:// or socks5://, then user:password@ if the proxy wants them (others than letters and digits as %40 and the like), then host:port; null for none.';
    ELSE
        INSERT INTO wa.proxy AS p (session_id, url) VALUES (of_session, set_proxy.url)
        ON CONFLICT ON CONSTRAINT proxy_pkey DO UPDATE SET url = EXCLUDED.url, updated_at = now();
    END IF;
    UPDATE wa.session s SET proxy = regexp_replace(set_proxy.url, '//[^/]*@', '//') WHERE s.session_id = of_session;
END $$;
COMMENT ON FUNCTION wa.set_proxy(text, text) IS 'Lets a session talk to WhatsApp through a proxy, from its next connection on (SELECT wa.close and wa.connect for now); null takes it away. SELECT wa.set_proxy(''shop'', ''socks5://user:password@10.0.0.7:1080'');';

CREATE OR REPLACE FUNCTION wa.set_crypto_limits(session text, bad_macs integer DEFAULT 3, bad_decrypts integer DEFAULT 5, relink boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_session CONSTANT bigint := wa.session_id(set_crypto_limits.session);
    wrong CONSTANT text := CASE WHEN bad_macs BETWEEN 1 AND 1000000 THEN
        CASE WHEN bad_decrypts BETWEEN 1 AND 1000000 THEN CASE WHEN relink IS NULL THEN 'relink' END ELSE 'bad_decrypts' END
        ELSE 'bad_macs' END;
BEGIN
    PERFORM wa.must_send();
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%: this is no limit', wrong
            USING ERRCODE = 'WA030', COLUMN = wrong, HINT = 'Accepted: 1 to 1000000 errors; for relink true or false.';
    END IF;
    UPDATE wa.session s
    SET bad_mac_limit = set_crypto_limits.bad_macs, bad_decrypt_limit = set_crypto_limits.bad_decrypts, relink_at_limit = relink
    WHERE s.session_id = of_session;
END $$;
COMMENT ON FUNCTION wa.set_crypto_limits(text, integer, integer, boolean) IS 'Sets how many messages (Bad MAC) and pieces of app state (Bad Decrypt) may fail to decrypt in one connection before wa.session_health calls the session unhealthy; with relink it is then closed, and has to be linked anew. SELECT wa.set_crypto_limits(''shop'', bad_macs => 10);';

CREATE OR REPLACE FUNCTION wa.retry_session_job(id bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE ended wa.session_job;
BEGIN
    PERFORM wa.must_send();
    SELECT * INTO ended FROM wa.session_job j WHERE j.id = retry_session_job.id AND wa.sees(j.session_id);
    IF ended.id IS NULL OR ended.status NOT IN ('failed', 'cancelled') THEN
        RAISE EXCEPTION 'status: session job % %', retry_session_job.id, coalesce('is ' || ended.status, 'does not exist')
            USING ERRCODE = 'WA024', COLUMN = 'status', HINT = 'Accepted: the id of a job that is failed or cancelled.';
    END IF;
    RETURN wa.add_session_job(ended.session, ended.kind, ended.reason);
END $$;
COMMENT ON FUNCTION wa.retry_session_job(bigint) IS 'Queues a session job like one that failed or was cancelled, and returns its id; the old one stays as it is. What is wished of the session changes as with the first. SELECT wa.retry_session_job(7);';

CREATE OR REPLACE FUNCTION wa.cancel_session_job(id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE found_status wa.job_status;
BEGIN
    PERFORM wa.must_send();
    SELECT j.status INTO found_status FROM wa.session_job j
    WHERE j.id = cancel_session_job.id AND wa.sees(j.session_id) FOR UPDATE;
    IF found_status IS DISTINCT FROM 'queued' THEN
        RAISE EXCEPTION 'status: session job % %', cancel_session_job.id, coalesce('is ' || found_status, 'does not exist')
            USING ERRCODE = 'WA024', COLUMN = 'status', HINT = 'Accepted: the id of a job that is queued.';
    END IF;
    UPDATE wa.session_job j SET status = 'cancelled', finished_at = now(), last_error = 'cancelled by hand'
    WHERE j.id = cancel_session_job.id;
END $$;
COMMENT ON FUNCTION wa.cancel_session_job(bigint) IS 'Cancels a session job that is queued; one that runs is nearly done. What is wished of the session stays: wa.close keeps it from being connected, wa.connect from being closed. SELECT wa.cancel_session_job(7);';

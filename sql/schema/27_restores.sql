-- Restored databases (R7): their auth state may be older than the state that other phones have seen.

CREATE OR REPLACE FUNCTION wa.reset_ratchets(session_id bigint, reason text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own text[];
    gone bigint;
BEGIN
    SELECT array_agg(regexp_replace(jid, '[:@].*', '')) INTO own
    FROM wa.auth a, unnest(ARRAY[a.creds->'me'->>'id', a.creds->'me'->>'lid']) AS jid
    WHERE a.session_id = reset_ratchets.session_id AND jid <> '';
    DELETE FROM wa.auth_key k
    WHERE k.session_id = reset_ratchets.session_id
      AND (k.kind IN ('session', 'sender-key-memory')
           -- Sender keys of others are only read, and move forward by themselves.
           OR k.kind = 'sender-key' AND split_part(regexp_replace(k.key_id, '^.*@[^:]*:', ''), '@', 1) ~ ('^(' || array_to_string(own, '|') || ')(:[0-9]+)?$'));
    GET DIAGNOSTICS gone = ROW_COUNT;
    UPDATE wa.auth a SET exported_at = NULL WHERE a.session_id = reset_ratchets.session_id AND a.exported_at IS NOT NULL;
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT s.name, s.session_id, 'ratchets_reset', jsonb_build_object('reason', reset_ratchets.reason, 'keys', gone)
    FROM wa.session s WHERE s.session_id = reset_ratchets.session_id;
    RETURN gone;
END $$;
COMMENT ON FUNCTION wa.reset_ratchets(bigint, text) IS 'Deletes the Signal sessions of a session and its own sender keys, so that each chat starts new ones with its next message; nothing is lost, and no key is used twice. Only while no worker holds the session. Adds an event.';

CREATE OR REPLACE FUNCTION wa.home(OUT system_identifier bigint, OUT database_oid oid, OUT timeline integer)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT d.oid INTO database_oid FROM pg_database d WHERE d.datname = current_database();
    -- Some hosted services forbid these functions.
    BEGIN
        SELECT c.system_identifier INTO system_identifier FROM pg_control_system() c;
    EXCEPTION WHEN OTHERS THEN
        system_identifier := 0;
    END;
    BEGIN
        timeline := ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer;
    EXCEPTION WHEN OTHERS THEN
        timeline := 0;
    END;
END $$;
COMMENT ON FUNCTION wa.home() IS 'Identity of this database: the server''s data directory, the database in it, and the timeline of its history. Any restore changes one of them. A part that the server does not reveal is 0.';

CREATE OR REPLACE FUNCTION wa.generation(lease wa.lease) RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT concat_ws('/', h.system_identifier, h.database_oid, h.timeline, lease.session_id, lease.epoch) FROM wa.home() h
$$;
COMMENT ON FUNCTION wa.generation(wa.lease) IS 'Identity of an auth state: database, session and epoch. While it is the same and nobody holds the session, ratchets are where they were.';

CREATE OR REPLACE FUNCTION wa.come_home() RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    here record;
    known wa.auth_home;
    sessions bigint;
BEGIN
    SELECT * INTO here FROM wa.home();
    INSERT INTO wa.auth_home (system_identifier, database_oid, timeline)
    VALUES (here.system_identifier, here.database_oid, here.timeline)
    ON CONFLICT (one) DO NOTHING;
    SELECT * INTO known FROM wa.auth_home FOR UPDATE;
    IF (known.system_identifier, known.database_oid, known.timeline) = (here.system_identifier, here.database_oid, here.timeline) THEN
        RETURN 0;
    END IF;
    -- A former holder may still be at work, under an epoch that this older database has not reached yet.
    DELETE FROM wa.worker;
    UPDATE wa.lease SET holder = NULL, epoch = epoch + 1048576;
    SELECT count(wa.reset_ratchets(a.session_id, 'the database was restored')) INTO sessions FROM wa.auth a;
    UPDATE wa.auth_home
    SET system_identifier = here.system_identifier, database_oid = here.database_oid, timeline = here.timeline, seen_at = now();
    RETURN sessions;
END $$;
COMMENT ON FUNCTION wa.come_home() IS 'Detects whether this database was restored since workers last used it; then ends all holds and resets the ratchets of all sessions, and returns their number. Each worker calls it before it takes sessions.';

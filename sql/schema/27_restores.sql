-- Restored databases (R7): their auth state may be older than the state that other phones have seen.

CREATE OR REPLACE FUNCTION wa.reset_ratchets(session_id bigint, reason text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own text[];
    gone bigint;
    here CONSTANT bigint := wa.current_home();
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
    UPDATE wa.auth a SET exported_at = NULL, home = here
    WHERE a.session_id = reset_ratchets.session_id AND (a.exported_at IS NOT NULL OR a.home IS DISTINCT FROM here);
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT s.name, s.session_id, 'ratchets_reset', jsonb_build_object('reason', reset_ratchets.reason, 'keys', gone)
    FROM wa.session s WHERE s.session_id = reset_ratchets.session_id;
    RETURN gone;
END $$;
COMMENT ON FUNCTION wa.reset_ratchets(bigint, text) IS 'Deletes the Signal sessions of a session and its own sender keys, so that each chat starts new ones with its next message; nothing is lost, and no key is used twice. Only while no worker holds the session. Adds an event.';

CREATE OR REPLACE FUNCTION wa.home(OUT system_identifier bigint, OUT database_oid oid, OUT timeline integer, OUT auth_oid oid)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT d.oid INTO database_oid FROM pg_database d WHERE d.datname = current_database();
    auth_oid := to_regclass('wa.auth_key');
    -- Some hosted services forbid these functions. Any other error says nothing about the database, so it is raised.
    BEGIN
        SELECT c.system_identifier INTO system_identifier FROM pg_control_system() c;
    EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
        system_identifier := NULL;
    END;
    BEGIN
        timeline := ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer;
    EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
        timeline := NULL;
    END;
END $$;
COMMENT ON FUNCTION wa.home() IS 'Identity of this database: the server''s data directory, the database in it, the timeline of its history, and the table of the keys. A part that the server hides is null.';

CREATE OR REPLACE FUNCTION wa.home_change(known wa.auth_home) RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        -- A comparison with an unknown part is null, and so not true.
        WHEN h.system_identifier <> known.system_identifier OR h.database_oid <> known.database_oid OR h.auth_oid <> known.auth_oid
            THEN 'the database was restored'
        WHEN h.timeline <> known.timeline THEN 'the server failed over, or was recovered to an earlier moment'
        WHEN EXISTS (SELECT FROM wa.restore_request r WHERE r.home >= known.home) THEN 'wa.restored() was called'
    END
    FROM wa.home() h
$$;
COMMENT ON FUNCTION wa.home_change(wa.auth_home) IS 'Why this database is not the one that wa.auth_home describes; null if it is. Locks nothing.';

CREATE OR REPLACE FUNCTION wa.current_home() RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE here bigint;
BEGIN
    SELECT k.home INTO here FROM wa.auth_home k;
    IF here IS NULL THEN
        INSERT INTO wa.auth_home (home, system_identifier, database_oid, timeline, auth_oid)
        SELECT wa.next_home(0), h.system_identifier, h.database_oid, h.timeline, h.auth_oid FROM wa.home() h
        ON CONFLICT (one) DO NOTHING;
        SELECT k.home INTO here FROM wa.auth_home k;
    END IF;
    RETURN here;
END $$;
COMMENT ON FUNCTION wa.current_home() IS 'wa.auth_home.home; the first call makes the row.';

CREATE OR REPLACE FUNCTION wa.next_home(home bigint) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest(next_home.home + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
$$;
COMMENT ON FUNCTION wa.next_home(bigint) IS 'A number for the home after this one.';

-- Transactions have other numbers on another server, and none of the earlier ones is under way. So what a new consumer
-- waits for has ended: it is given what was being stored when it was added, and is not new any more (wa.locked_consumer).
-- Skips a consumer that an application has locked, as every statement of a worker (R8); that one may be given messages
-- that it had already.
CREATE OR REPLACE FUNCTION wa.move_home(known wa.auth_home, reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    here  record;
    moved bigint;
BEGIN
    SELECT * INTO here FROM wa.home();
    -- free_at: a worker whose connection others see stops within this time (src/db/proof.rs), any other within its lease. It
    -- need not have a row here.
    -- A number in milliseconds is higher than any epoch, because no session has a thousand holders in a second.
    UPDATE wa.auth_home k
    SET home = n.home, first_epoch = n.home, reason = move_home.reason, seen_at = now(),
        free_at = now() + greatest(interval '3 seconds', (SELECT max(w.lease_until - w.beat_at) FROM wa.worker w WHERE w.backend_pid IS NULL)),
        system_identifier = here.system_identifier, database_oid = here.database_oid, timeline = here.timeline, auth_oid = here.auth_oid
    FROM wa.next_home(known.home) n (home)
    WHERE k.home = known.home
    RETURNING k.home INTO moved;
    IF moved IS NULL THEN
        RETURN (SELECT k.home FROM wa.auth_home k);
    END IF;
    IF here.system_identifier <> known.system_identifier OR here.database_oid <> known.database_oid THEN
        WITH begun AS MATERIALIZED (
            SELECT c AS reader FROM wa.consumer c WHERE c.seen IS NOT NULL FOR NO KEY UPDATE SKIP LOCKED
        ), given AS (
            INSERT INTO wa.unread (consumer_id, inbox_id)
            SELECT (b.reader).consumer_id, i.id
            FROM begun b JOIN wa.inbox i
                ON (i.transaction = ANY (ARRAY(SELECT x::text::bigint FROM pg_snapshot_xip((b.reader).seen) x))
                    OR i.transaction >= pg_snapshot_xmax((b.reader).seen)::text::bigint)
               AND i.transaction < coalesce((b.reader).seen_until, 9223372036854775807)
            WHERE wa.consumes(b.reader, i.session_id, i.kind)
            ON CONFLICT (consumer_id, inbox_id) DO NOTHING
        )
        UPDATE wa.consumer c SET seen = NULL, seen_until = NULL FROM begun b WHERE c.consumer_id = (b.reader).consumer_id;
    END IF;
    RETURN moved;
END $$;
COMMENT ON FUNCTION wa.move_home(wa.auth_home, text) IS 'Gives the database a new home, unless it has another one than that by now, and returns its number. Every worker then registers again, and each session resets its ratchets when it connects.';

CREATE OR REPLACE FUNCTION wa.detect_restore(witness uuid, last_home bigint, last_beats bigint, OUT home bigint, OUT reason text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE known wa.auth_home;
BEGIN
    PERFORM wa.current_home();
    SELECT * INTO known FROM wa.auth_home;
    home := known.home;
    reason := wa.home_change(known);
    -- A home later than the remembered one: somebody has noticed before.
    IF reason IS NULL AND (last_home > known.home OR last_home = known.home AND NOT EXISTS (
        SELECT FROM wa.witness w WHERE w.witness = detect_restore.witness AND w.beats >= last_beats)) THEN
        reason := 'the database was restored';
    END IF;
    IF reason IS NOT NULL THEN
        home := wa.move_home(known, reason);
    ELSE
        -- What the server has hidden until now.
        UPDATE wa.auth_home k
        SET system_identifier = coalesce(k.system_identifier, h.system_identifier), timeline = coalesce(k.timeline, h.timeline)
        FROM wa.home() h
        WHERE k.home = known.home
          AND (k.system_identifier IS NULL AND h.system_identifier IS NOT NULL OR k.timeline IS NULL AND h.timeline IS NOT NULL);
    END IF;
    DELETE FROM wa.witness w WHERE w.seen_at < now() - interval '30 days';
    INSERT INTO wa.witness AS w (witness, beats) VALUES (detect_restore.witness, coalesce(last_beats, 0))
    ON CONFLICT ON CONSTRAINT witness_pkey DO UPDATE SET beats = greatest(w.beats, EXCLUDED.beats), seen_at = now();
END $$;
COMMENT ON FUNCTION wa.detect_restore(uuid, bigint, bigint) IS 'Detects whether this database was restored since workers last used it, by what it is and by what the calling process remembers: its last home and heartbeats, null for none. Then gives it a new home, and returns the reason; null without a restore. Each worker calls it before it registers.';

-- What operators ask for goes into a table that workers only read, so a transaction that asks and stays open holds up no
-- worker that has to find a new home itself (R8).
CREATE OR REPLACE FUNCTION wa.restored() RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM wa.restore_request r WHERE r.home < (SELECT k.home FROM wa.auth_home k);
    INSERT INTO wa.restore_request (home) SELECT k.home FROM wa.auth_home k;
    PERFORM pg_notify('wa_work', 'leases');
    RETURN (SELECT count(*) FROM wa.session s WHERE s.jid IS NOT NULL);
END $$;
COMMENT ON FUNCTION wa.restored() IS 'Call it after a restore that workers cannot notice: of a snapshot of a volume while no worker was running, or of rows by hand. Every session starts new Signal sessions when it next connects; connected ones are connected again at once. Returns the number of linked sessions. SELECT wa.restored();';

CREATE OR REPLACE FUNCTION wa.use_ratchets(session_id bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    used wa.auth;
    here CONSTANT bigint := wa.current_home();
BEGIN
    SELECT * INTO used FROM wa.auth a WHERE a.session_id = use_ratchets.session_id;
    IF used.exported_at IS NOT NULL THEN
        RETURN wa.reset_ratchets(used.session_id, 'used by another program since ' || used.exported_at::timestamptz(0));
    ELSIF used.home IS DISTINCT FROM here THEN
        RETURN wa.reset_ratchets(used.session_id, coalesce((SELECT k.reason FROM wa.auth_home k), 'the database was restored'));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.use_ratchets(bigint) IS 'Called before a session connects: resets its ratchets if another program has them, or if they were last used in an earlier home. Returns the number of deleted keys; null without a reset.';

CREATE OR REPLACE FUNCTION wa.next_epoch(epoch bigint) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest(next_epoch.epoch + 1, (SELECT k.first_epoch FROM wa.auth_home k))
$$;
COMMENT ON FUNCTION wa.next_epoch(bigint) IS 'The epoch of the next holder. After a restore it is higher than that of any former holder, who may still be at work under an epoch that the older database has not reached.';

CREATE OR REPLACE FUNCTION wa.generation(lease wa.lease) RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT concat_ws('/', wa.current_home(), h.system_identifier, h.database_oid, h.timeline, h.auth_oid, lease.session_id, lease.epoch)
    FROM wa.home() h
$$;
COMMENT ON FUNCTION wa.generation(wa.lease) IS 'Identity of an auth state: database, session and epoch. While it is the same and nobody holds the session, ratchets are where they were.';

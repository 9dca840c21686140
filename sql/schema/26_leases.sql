-- Leases: which worker should hold which session, and what happens to claimed messages when a hold ends (S3).

-- A view, because the planner inlines it: as a function it ran for each session at each heartbeat, which took 12 ms
-- for 1,000 sessions.
CREATE OR REPLACE VIEW wa.connectable WITH (security_invoker = on) AS
SELECT s.session_id, s.name, s.status, s.jid IS NOT NULL AS linked
FROM wa.session s
WHERE s.desired = 'connected'
  AND (s.jid IS NOT NULL OR EXISTS (
      SELECT FROM wa.passkey p
      WHERE p.session_id = s.session_id AND p.stage NOT IN ('done', 'failed') AND p.expires_at > now()));
COMMENT ON VIEW wa.connectable IS 'Sessions that should be connected and that a worker can continue without help: they are linked, or a linking with a passkey is under way.';

CREATE OR REPLACE FUNCTION wa.status_now(session_id bigint, status wa.session_status) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN wa.needs_holder(status_now.status) AND NOT EXISTS (
            SELECT FROM wa.lease l JOIN wa.worker w ON w.worker_id = l.holder
            WHERE l.session_id = status_now.session_id AND w.lease_until > now()) THEN 'no_worker'
        ELSE status_now.status::text END
$$;
COMMENT ON FUNCTION wa.status_now(bigint, wa.session_status) IS 'The status of a session, or no_worker where the row says that a worker holds it and no live one does, for the pages.';

CREATE OR REPLACE FUNCTION wa.will_connect(job wa.session_job, linked boolean) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT job.status = 'queued'
        AND (job.kind = 'reconnect' OR job.kind = 'link' AND NOT linked
             OR job.kind IN ('link', 'connect', 'passkey') AND (job.started_at IS NOT NULL OR job.run_at <= now()))
$$;
COMMENT ON FUNCTION wa.will_connect(wa.session_job, boolean) IS 'Whether a waiting job makes the next connection of a session, perhaps after a rest or a backoff. A connect that somebody has scheduled for later, and that was never tried, does not: the session is connected until then, too.';

-- The server knows at once when a process has ended, because its connections end. Whoever may not see when a server process
-- began takes it for the same one.
CREATE OR REPLACE FUNCTION wa.has_hung_up(worker wa.worker) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT worker.backend_pid IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_stat_get_activity(worker.backend_pid) a
        WHERE a.backend_start IS NULL OR a.backend_start = worker.backend_started)
$$;
COMMENT ON FUNCTION wa.has_hung_up(wa.worker) IS 'Whether the connection over which a worker sent its last heartbeat is gone. The worker may live all the same, and connect again.';

CREATE OR REPLACE FUNCTION wa.share(worker_id uuid) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN me.draining THEN 0 ELSE least(me.max_sessions, ceil(
        (SELECT count(*) FROM wa.connectable)::numeric * me.max_sessions
        / greatest((SELECT sum(w.max_sessions) FROM wa.worker w WHERE w.lease_until > now() AND NOT w.draining), 1))) END::bigint
    FROM wa.worker me WHERE me.worker_id = share.worker_id
$$;
COMMENT ON FUNCTION wa.share(uuid) IS 'How many sessions a worker should hold, in proportion to the max_sessions of all workers. A worker takes no more, and gives away sessions beyond its share.';

CREATE OR REPLACE FUNCTION wa.room(worker_id uuid) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT me.max_sessions - (SELECT count(*) FROM wa.lease l WHERE l.holder = me.worker_id) FROM wa.worker me WHERE me.worker_id = room.worker_id
$$;
COMMENT ON FUNCTION wa.room(uuid) IS 'How many sessions more a worker may hold, linked or not.';

CREATE OR REPLACE VIEW wa.wanted WITH (security_invoker = on) AS
SELECT r.session_id, r.worker_id
FROM wa.move_request r JOIN wa.worker w USING (worker_id)
WHERE w.lease_until > now() AND NOT w.draining;
COMMENT ON VIEW wa.wanted IS 'Which worker should hold a session, by wa.move_session; only while that worker lives and does not drain. Any other session may be held by any worker with room.';

-- What operators ask for goes into tables that no worker writes, so a transaction that asks and stays open holds up
-- nobody (R8).
CREATE OR REPLACE FUNCTION wa.drain_worker(worker_id uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = drain_worker.worker_id) THEN
        RAISE EXCEPTION 'worker_id: no live worker has the id %', coalesce(drain_worker.worker_id::text, 'null')
            USING ERRCODE = 'WA027', COLUMN = 'worker_id', HINT = 'Accepted: the worker_id of a row of wa.worker.';
    END IF;
    DELETE FROM wa.drain_request r WHERE NOT EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = r.worker_id);
    INSERT INTO wa.drain_request (worker_id) VALUES (drain_worker.worker_id)
    ON CONFLICT ON CONSTRAINT drain_request_pkey DO NOTHING;
    PERFORM pg_notify('wa_work', 'leases');
END $$;
COMMENT ON FUNCTION wa.drain_worker(uuid) IS 'Makes a worker give its sessions to the others and end in order, as SIGTERM does. SELECT wa.drain_worker(worker_id) FROM wa.worker WHERE host = ''old'';';

CREATE OR REPLACE FUNCTION wa.move_session(session text, worker_id uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE of_session CONSTANT bigint := wa.session_id(move_session.session);
BEGIN
    IF move_session.worker_id IS NULL THEN
        DELETE FROM wa.move_request r WHERE r.session_id = of_session;
    ELSIF NOT EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = move_session.worker_id AND w.lease_until > now() AND NOT w.draining) THEN
        RAISE EXCEPTION 'worker_id: no live worker has the id %', move_session.worker_id
            USING ERRCODE = 'WA027', COLUMN = 'worker_id', HINT = 'Accepted: the worker_id of a row of wa.worker.';
    ELSE
        INSERT INTO wa.move_request AS r (session_id, worker_id) VALUES (of_session, move_session.worker_id)
        ON CONFLICT ON CONSTRAINT move_request_pkey DO UPDATE SET worker_id = EXCLUDED.worker_id, requested_at = now();
    END IF;
    PERFORM pg_notify('wa_work', 'leases');
END $$;
COMMENT ON FUNCTION wa.move_session(text, uuid) IS 'Moves a session to a worker, which keeps it as long as it lives, also beyond its share; null lets any worker with room take it. SELECT wa.move_session(''shop'', worker_id) FROM wa.worker WHERE host = ''new'';';

CREATE OR REPLACE FUNCTION wa.worker_ended() RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT 'the worker ended while the message was in hand' $$;
COMMENT ON FUNCTION wa.worker_ended() IS 'wa.outbound.last_error of a message whose worker has died.';

-- What is known of a message in hand whose holder is gone. A message that has been under way for a while is sending. Of
-- any other, nobody knows, because a claim and the beginning of an attempt write no row: it may still have waited for
-- its turn. So it is not counted the first time; but a message that is in hand of one dying worker after the other may
-- be what kills them, so from the second time on it is.
CREATE OR REPLACE FUNCTION wa.had_begun(message wa.outbound) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT message.status = 'sending' OR coalesce(message.last_error = wa.worker_ended(), false)
$$;
COMMENT ON FUNCTION wa.had_begun(wa.outbound) IS 'Whether an attempt to send a message counts as begun, when its worker has died with the message in hand and first in its chat.';

-- A pause leaves out what is claimed, because it may be on its way. Whoever gives claimed messages back calls this, with
-- the row of wa.sending locked, which whoever pauses a campaign has locked, too.
CREATE OR REPLACE FUNCTION wa.hold_back(session_id bigint, ids bigint[]) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    UPDATE wa.outbound_queue q SET waits_for = 'paused', run_at = now()
    FROM wa.outbound o JOIN wa.campaign c USING (session_id, campaign)
    WHERE o.id = ANY (hold_back.ids) AND o.session_id = hold_back.session_id AND c.paused_at IS NOT NULL
      AND q.session_id = o.session_id AND q.chat = o.chat AND q.id = o.id AND q.waits_for IS NULL
$$;
COMMENT ON FUNCTION wa.hold_back(bigint, bigint[]) IS 'Holds back those of a session''s messages that go back to the queue unsent and whose campaign was paused meanwhile.';

-- Messages that a holder had claimed go back to the queue when its hold ends without an outcome for them. Only the first
-- message of each chat may have been on its way. The next attempt uses the same id, so nothing shows twice (Q7). A hold
-- ends for many sessions in one statement, so this waits for no row that an application has locked: what is left is
-- returned later (R8).
CREATE OR REPLACE FUNCTION wa.settle(session_id bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    in_hand bigint[];
    firsts  bigint[];
    ids     bigint[];
BEGIN
    SELECT b.taken INTO in_hand FROM wa.sending b WHERE b.session_id = settle.session_id FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF cardinality(in_hand) = 0 THEN
        RETURN true;
    END IF;
    PERFORM wa.hold_back(settle.session_id, in_hand);
    firsts := ARRAY(
        SELECT DISTINCT ON (o.chat) o.id FROM wa.outbound o
        WHERE o.session_id = settle.session_id AND o.id = ANY (in_hand) AND o.status IN ('queued', 'sending')
        ORDER BY o.chat, o.id
    );
    WITH free AS (
        SELECT o.id FROM wa.outbound o
        WHERE o.session_id = settle.session_id AND o.id = ANY (firsts) AND o.status IN ('queued', 'sending')
        FOR NO KEY UPDATE SKIP LOCKED
    ), changed AS (
        UPDATE wa.outbound o
        SET status = CASE WHEN o.attempts + wa.had_begun(o)::integer >= o.max_attempts THEN 'failed' ELSE 'queued' END::wa.outbound_status,
            failed_at = CASE WHEN o.attempts + wa.had_begun(o)::integer >= o.max_attempts THEN now() END,
            failure = CASE WHEN o.attempts + wa.had_begun(o)::integer >= o.max_attempts THEN 'worker' END,
            attempts = o.attempts + wa.had_begun(o)::integer,
            last_error = wa.worker_ended(),
            errors = o.errors || CASE WHEN wa.had_begun(o) THEN wa.attempt_error(o.attempts + 1, wa.worker_ended()) ELSE '[]' END
        FROM free WHERE o.session_id = settle.session_id AND o.id = free.id
        RETURNING o.id, o.chat, o.status
    ), gone AS (
        DELETE FROM wa.outbound_queue q USING changed c
        WHERE c.status = 'failed' AND q.session_id = settle.session_id AND q.chat = c.chat AND q.id = c.id
    )
    SELECT array_agg(c.id) INTO ids FROM changed c;
    firsts := ARRAY(SELECT f FROM unnest(firsts) f WHERE ids IS NULL OR f <> ALL (ids));
    UPDATE wa.sending b SET taken = firsts WHERE b.session_id = settle.session_id;
    IF ids IS NOT NULL THEN
        PERFORM wa.announce_status(array_fill(settle.session_id, ARRAY[cardinality(ids)]), ids);
    END IF;
    RETURN cardinality(firsts) = 0;
END $$;
COMMENT ON FUNCTION wa.settle(bigint) IS 'Queues the messages that an earlier holder of a session had claimed. False when some are left, because somebody has locked their rows.';

CREATE OR REPLACE FUNCTION wa.lease_ended() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.unsettled := NOT wa.settle(NEW.session_id);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION wa.lease_ended() IS 'Row trigger of wa.lease: queues the messages that the holder had claimed.';
CREATE OR REPLACE TRIGGER ended BEFORE UPDATE OF holder, epoch ON wa.lease
    FOR EACH ROW WHEN (OLD.holder IS NOT NULL AND (NEW.holder IS DISTINCT FROM OLD.holder OR NEW.epoch <> OLD.epoch))
    EXECUTE FUNCTION wa.lease_ended();

CREATE OR REPLACE FUNCTION wa.end_worker(worker_id uuid) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    WITH freed AS (
        UPDATE wa.lease l SET holder = NULL
        FROM (SELECT session_id FROM wa.lease WHERE holder = end_worker.worker_id ORDER BY session_id FOR NO KEY UPDATE SKIP LOCKED) free
        WHERE l.session_id = free.session_id
        RETURNING l.session_id
    ), stale AS (
        -- No session shows a connection that nobody holds, also when this was the last worker. What is being linked, and
        -- what an application has locked, the next worker corrects (reset_stale.sql).
        SELECT s.session_id FROM wa.session s JOIN freed USING (session_id)
        WHERE s.status IN ('connecting', 'connected') AND s.jid IS NOT NULL
        FOR NO KEY UPDATE OF s SKIP LOCKED
    )
    UPDATE wa.session s SET status = 'disconnected', status_reason = 'the worker that held it is gone', status_code = 'worker_gone'
    FROM stale WHERE s.session_id = stale.session_id;
    IF EXISTS (SELECT FROM wa.lease l WHERE l.holder = end_worker.worker_id) THEN
        -- The row stays until the next run, as that of a dead worker.
        UPDATE wa.worker w SET lease_until = least(w.lease_until, now() - interval '1 second') WHERE w.worker_id = end_worker.worker_id;
        RETURN false;
    END IF;
    DELETE FROM wa.worker w WHERE w.worker_id = end_worker.worker_id;
    RETURN true;
END $$;
COMMENT ON FUNCTION wa.end_worker(uuid) IS 'Frees the sessions of a worker, which are then disconnected, and deletes its row. Leaves a session that somebody has locked, and then also the row, for the next call; false then.';

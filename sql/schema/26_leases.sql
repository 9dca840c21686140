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

CREATE OR REPLACE FUNCTION wa.share(worker_id uuid) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN me.draining THEN 0 ELSE least(me.max_sessions, ceil(
        (SELECT count(*) FROM wa.connectable)::numeric * me.max_sessions
        / greatest((SELECT sum(w.max_sessions) FROM wa.worker w WHERE w.lease_until > now() AND NOT w.draining), 1))) END::bigint
    FROM wa.worker me WHERE me.worker_id = share.worker_id
$$;
COMMENT ON FUNCTION wa.share(uuid) IS 'How many sessions a worker should hold, in proportion to the max_sessions of all workers. A worker takes no more, and gives away sessions beyond its share.';

CREATE OR REPLACE FUNCTION wa.drain_worker(worker_id uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE wa.worker w SET draining = true WHERE w.worker_id = drain_worker.worker_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'worker_id: no live worker has the id %', coalesce(drain_worker.worker_id::text, 'null')
            USING ERRCODE = 'WA027', COLUMN = 'worker_id', HINT = 'Accepted: the worker_id of a row of wa.worker.';
    END IF;
    PERFORM pg_notify('wa_work', 'leases');
END $$;
COMMENT ON FUNCTION wa.drain_worker(uuid) IS 'Makes a worker give its sessions to the others and end in order, as SIGTERM does. SELECT wa.drain_worker(worker_id) FROM wa.worker WHERE host = ''old'';';

CREATE OR REPLACE FUNCTION wa.move_session(session text, worker_id uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE of_session CONSTANT bigint := wa.session_id(move_session.session);
BEGIN
    IF move_session.worker_id IS NOT NULL
       AND NOT EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = move_session.worker_id AND w.lease_until > now() AND NOT w.draining) THEN
        RAISE EXCEPTION 'worker_id: no live worker has the id %', move_session.worker_id
            USING ERRCODE = 'WA027', COLUMN = 'worker_id', HINT = 'Accepted: the worker_id of a row of wa.worker.';
    END IF;
    UPDATE wa.lease l SET wanted = move_session.worker_id WHERE l.session_id = of_session;
    PERFORM pg_notify('wa_work', 'leases');
END $$;
COMMENT ON FUNCTION wa.move_session(text, uuid) IS 'Moves a session to a worker, which keeps it as long as it lives, also beyond its share; null lets any worker with room take it. SELECT wa.move_session(''shop'', worker_id) FROM wa.worker WHERE host = ''new'';';

-- Messages that a holder had claimed go back to the queue when its hold ends without an outcome for them. The first
-- message of each chat may have been on its way, so that counts as an attempt. The next attempt uses the same id, so
-- nothing shows twice (Q7).
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
COMMENT ON FUNCTION wa.lease_ended() IS 'Row trigger of wa.lease: queues the messages that the holder had claimed.';
CREATE OR REPLACE TRIGGER ended AFTER UPDATE OF holder, epoch ON wa.lease
    FOR EACH ROW WHEN (OLD.holder IS NOT NULL AND (NEW.holder IS DISTINCT FROM OLD.holder OR NEW.epoch <> OLD.epoch))
    EXECUTE FUNCTION wa.lease_ended();

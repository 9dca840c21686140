-- Session jobs: checks at INSERT, and the functions that queue, retry and cancel them.

CREATE OR REPLACE FUNCTION wa.is_moment(at timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT at > '-infinity' AND at < '3000-01-01Z' $$;
COMMENT ON FUNCTION wa.is_moment(timestamptz) IS 'Whether a job can wait for a time and every program can show it: finite, and before the year 3000.';

CREATE OR REPLACE FUNCTION wa.check_run_at(run_at timestamptz) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT wa.is_moment(run_at) THEN
        RAISE EXCEPTION 'run_at: % is out of range', run_at
            USING ERRCODE = 'WA014', COLUMN = 'run_at', HINT = 'Accepted: a moment before the year 3000; leave it out for now.';
    END IF;
END $$;
COMMENT ON FUNCTION wa.check_run_at(timestamptz) IS 'Refuses a session or maintenance job that would wait for ever; error WA014.';

-- A reconnect is queued by a worker and leaves the wanted state unchanged. Of two jobs that are due, the later one
-- decides. A connection that is scheduled for later than a close stays.
CREATE OR REPLACE FUNCTION wa.set_wish(job wa.session_job) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The session's row before its jobs, as everywhere.
    PERFORM FROM wa.session s WHERE s.session_id = job.session_id FOR NO KEY UPDATE;
    IF job.kind IN ('link', 'connect', 'passkey') THEN
        UPDATE wa.session s SET desired = 'connected', wished_at = now()
        WHERE s.session_id = job.session_id AND s.desired <> 'connected' AND NOT EXISTS (
            SELECT FROM wa.session_job later
            WHERE later.session_id = job.session_id AND later.id > job.id AND later.status = 'queued'
              AND later.kind IN ('close', 'logout') AND later.run_at <= now());
    ELSIF job.kind IN ('close', 'logout') THEN
        UPDATE wa.session s SET desired = 'stopped', wished_at = NULL
        WHERE s.session_id = job.session_id AND s.desired <> 'stopped' AND NOT EXISTS (
            SELECT FROM wa.session_job later
            WHERE later.session_id = job.session_id AND later.id > job.id AND later.status = 'queued'
              AND later.kind IN ('link', 'connect', 'passkey') AND later.run_at <= now());
        UPDATE wa.session_job j SET status = 'cancelled', finished_at = now(), last_error = 'superseded by ' || job.kind
        WHERE j.session_id = job.session_id AND j.status = 'queued'
          AND (j.kind = 'reconnect'
               OR j.kind IN ('link', 'connect', 'passkey') AND j.id < job.id AND (j.started_at IS NOT NULL OR j.run_at <= job.run_at));
    END IF;
END $$;
COMMENT ON FUNCTION wa.set_wish(wa.session_job) IS 'Sets the state that a session job wants (wa.session.desired), and cancels the waiting jobs that a close or logout supersedes. Called when the job is due: at INSERT, or by the worker that runs it.';

-- With its owner's rights: a role that may insert a job may not update wa.session.
CREATE OR REPLACE FUNCTION wa.session_job_before_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- On another table its rights would write what the caller may not.
    IF TG_RELID <> 'wa.session_job'::regclass THEN
        RAISE EXCEPTION 'wa.session_job_before_insert is a trigger of wa.session_job alone' USING ERRCODE = 'insufficient_privilege';
    END IF;
    NEW.session_id := wa.session_id(NEW.session);
    IF NEW.kind IS NULL OR NEW.kind NOT IN ('link', 'connect', 'reconnect', 'passkey', 'close', 'logout') AND NEW.kind NOT IN (SELECT a.kind FROM wa.actions() a) THEN
        RAISE EXCEPTION 'kind: "%" is not a kind of session job', left(NEW.kind, 80)
            USING ERRCODE = 'WA004', COLUMN = 'kind',
                  HINT = 'Accepted: link, connect, reconnect, passkey, close, logout, ' || (SELECT string_agg(a.kind, ', ') FROM wa.actions() a) || '.';
    END IF;
    PERFORM wa.check_reason(NEW.reason);
    NEW.args := wa.check_fields('args', NEW.kind, NEW.args, wa.region_of(NEW.session));
    -- An id of another session or tenant does not exist here.
    IF NEW.args ? 'inbox_id' AND NOT EXISTS (
        SELECT FROM wa.inbox i WHERE i.session_id = NEW.session_id AND i.id = (NEW.args ->> 'inbox_id')::bigint
    ) THEN
        RAISE EXCEPTION 'args.inbox_id: no message % of this session', NEW.args ->> 'inbox_id'
            USING ERRCODE = 'WA034', COLUMN = 'args', HINT = 'Accepted: the id of a row of wa.inbox with the same session.';
    ELSIF NEW.args ? 'media' AND NOT EXISTS (
        SELECT FROM wa.media m JOIN wa.session s USING (tenant)
        WHERE s.session_id = NEW.session_id AND m.media_id = (NEW.args ->> 'media')::bigint
    ) THEN
        RAISE EXCEPTION 'args.media: no media % for this session', NEW.args ->> 'media'
            USING ERRCODE = 'WA034', COLUMN = 'args', HINT = 'Accepted: a media_id of wa.media, as wa.add_media returns it.';
    END IF;
    NEW.result := NULL;
    NEW.run_at := coalesce(NEW.run_at, now());
    PERFORM wa.check_run_at(NEW.run_at);
    -- One job of each kind that concerns the connection waits for a session. Whoever queues one has the session's row
    -- first, so a worker that has this row waits for nobody at the unique index (R8).
    IF NEW.kind IN ('link', 'connect', 'reconnect', 'passkey', 'close', 'logout') THEN
        PERFORM FROM wa.session s WHERE s.session_id = NEW.session_id FOR NO KEY UPDATE;
    END IF;
    -- Columns that workers alone write.
    NEW.status := 'queued';
    NEW.attempts := 0;
    NEW.worker_id := NULL;
    NEW.last_error := NULL;
    NEW.created_at := now();
    NEW.started_at := NULL;
    NEW.finished_at := NULL;
    -- What is due now takes effect in the transaction of the job, so that it holds even if every worker dies before the
    -- job runs. What is scheduled for later leaves the session alone until then; its worker calls wa.set_wish.
    IF NEW.run_at <= now() THEN
        PERFORM wa.set_wish(NEW);
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION wa.session_job_before_insert() IS 'Row trigger of wa.session_job: checks session, kind and args, and sets the state that is wanted (wa.session.desired) by a job that is due.';
CREATE OR REPLACE TRIGGER validate BEFORE INSERT ON wa.session_job
    FOR EACH ROW EXECUTE FUNCTION wa.session_job_before_insert();

CREATE OR REPLACE FUNCTION wa.add_session_job(session text, kind text, reason text DEFAULT NULL, args jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    of_session bigint;
    job        bigint;
BEGIN
    PERFORM wa.must_send();
    of_session := wa.session_id(add_session_job.session);
    -- As the row says it now. A session that is unlinked afterwards fails the job.
    IF add_session_job.kind = 'connect' AND EXISTS (
        SELECT FROM wa.session s
        WHERE s.session_id = of_session AND s.jid IS NULL AND NOT wa.needs_holder(s.status)
          AND NOT EXISTS (
              SELECT FROM wa.session_job j
              WHERE j.session_id = s.session_id AND j.kind IN ('link', 'passkey') AND j.status IN ('queued', 'running'))
    ) THEN
        RAISE EXCEPTION 'session: "%" is not linked', add_session_job.session
            USING ERRCODE = 'WA046', COLUMN = 'session',
                  HINT = format('Accepted: a session that is linked; SELECT wa.link(%L) links it.', add_session_job.session);
    END IF;
    INSERT INTO wa.session_job AS j (session, kind, reason, args)
    VALUES (add_session_job.session, add_session_job.kind, add_session_job.reason, add_session_job.args)
    ON CONFLICT (session_id, kind) WHERE status = 'queued' AND NOT action
    DO UPDATE SET reason = coalesce(EXCLUDED.reason, j.reason), args = j.args || EXCLUDED.args, run_at = now()
    RETURNING j.id INTO job;
    RETURN job;
END $$;
COMMENT ON FUNCTION wa.add_session_job(text, text, text, jsonb) IS 'Queues a session job at once, or brings forward a waiting job of that kind; returns its id. Error WA046 for a connect of a session that is not linked.';

CREATE OR REPLACE FUNCTION wa.connect(session text) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$ SELECT wa.add_session_job(connect.session, 'connect') $$;
COMMENT ON FUNCTION wa.connect(text) IS 'Connects a linked session at once, after wa.close or while it waits for a reconnect. Returns the job''s id; error WA046 for a session that is not linked: wa.link links it.';

CREATE OR REPLACE FUNCTION wa.close(session text, reason text DEFAULT NULL) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$ SELECT wa.add_session_job(close.session, 'close', close.reason) $$;
COMMENT ON FUNCTION wa.close(text, text) IS 'Disconnects but stays linked. Messages stay queued until wa.connect. Returns the job''s id.';

CREATE OR REPLACE FUNCTION wa.logout(session text, reason text DEFAULT NULL, force boolean DEFAULT false) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT wa.add_session_job(logout.session, 'logout', logout.reason, CASE WHEN logout.force THEN '{"force": true}' ELSE '{}' END::jsonb)
$$;
COMMENT ON FUNCTION wa.logout(text, text, boolean) IS 'Unlinks the device and deletes its auth state; to use the session again, link it again. A session that is not connected is connected once, because WhatsApp has to be told; with force its auth state is deleted without that, and the phone lists the device until its owner removes it there. Returns the job''s id. SELECT wa.logout(''shop''); SELECT wa.logout(''shop'', ''phone lost'', force => true);';

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
    RETURN wa.add_session_job(ended.session, ended.kind, ended.reason, ended.args);
END $$;
COMMENT ON FUNCTION wa.retry_session_job(bigint) IS 'Queues a session job like one that failed or was cancelled, and returns its id; the old one stays unchanged. The wanted state of the session changes as with the first job. SELECT wa.retry_session_job(7);';

CREATE OR REPLACE FUNCTION wa.cancel_session_job(id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE found_status wa.job_status;
BEGIN
    PERFORM wa.must_send();
    -- As whoever queues a job.
    PERFORM FROM wa.session s JOIN wa.session_job j USING (session_id)
    WHERE j.id = cancel_session_job.id AND NOT j.action AND wa.sees(j.session_id) FOR NO KEY UPDATE OF s;
    SELECT j.status INTO found_status FROM wa.session_job j
    WHERE j.id = cancel_session_job.id AND wa.sees(j.session_id) FOR UPDATE;
    IF found_status IS DISTINCT FROM 'queued' THEN
        RAISE EXCEPTION 'status: session job % %', cancel_session_job.id, coalesce('is ' || found_status, 'does not exist')
            USING ERRCODE = 'WA024', COLUMN = 'status', HINT = 'Accepted: the id of a job that is queued.';
    END IF;
    UPDATE wa.session_job j SET status = 'cancelled', finished_at = now(), last_error = 'cancelled by hand'
    WHERE j.id = cancel_session_job.id;
END $$;
COMMENT ON FUNCTION wa.cancel_session_job(bigint) IS 'Cancels a queued session job; a running one is nearly done. The wanted state of the session stays: wa.close keeps it from being connected, wa.connect from being closed. SELECT wa.cancel_session_job(7);';

-- Ticks: how a schedule fires, by the clock or by hand, exactly once (Q10).

CREATE OR REPLACE FUNCTION wa.job_lives(job_table text, session_id bigint, job bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE job_table
        WHEN 'maintenance_job' THEN
            EXISTS (SELECT FROM wa.maintenance_job j WHERE j.id = job AND j.status IN ('queued', 'running'))
        WHEN 'session_job' THEN
            EXISTS (SELECT FROM wa.session_job j WHERE j.id = job AND j.status IN ('queued', 'running'))
        WHEN 'outbound' THEN
            EXISTS (SELECT FROM wa.outbound o
                    WHERE o.session_id = job_lives.session_id AND o.id = job AND o.status IN ('queued', 'sending'))
    END
$$;
COMMENT ON FUNCTION wa.job_lives(text, bigint, bigint) IS 'Whether a job is queued or running.';

CREATE OR REPLACE FUNCTION wa.add_scheduled_job(s wa.schedule, tick timestamptz, OUT job bigint, OUT outcome wa.tick_outcome)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    outcome := 'folded';
    IF s.missed <> 'all' AND wa.job_lives(s.job_table, s.session_id, s.last_job) THEN
        job := s.last_job;
        RETURN;
    END IF;
    IF s.job_table = 'maintenance_job' THEN
        INSERT INTO wa.maintenance_job (kind, args, schedule, tick)
        VALUES (s.kind, s.args, s.name, add_scheduled_job.tick) RETURNING id INTO job;
    ELSIF s.job_table = 'session_job' THEN
        INSERT INTO wa.session_job (session, kind, reason)
        SELECT w.name, s.kind, 'schedule ' || s.name FROM wa.session w WHERE w.session_id = s.session_id
        ON CONFLICT DO NOTHING RETURNING id INTO job;
        IF job IS NULL THEN
            -- A job of that kind waits already.
            SELECT j.id INTO job FROM wa.session_job j
            WHERE j.session_id = s.session_id AND j.kind = s.kind AND j.status = 'queued' AND NOT j.action;
            RETURN;
        END IF;
    ELSE
        INSERT INTO wa.outbound (session, recipient, body)
        SELECT w.name, s.args ->> 'recipient', s.args ->> 'body' FROM wa.session w WHERE w.session_id = s.session_id
        RETURNING id INTO job;
    END IF;
    outcome := 'fired';
END $$;
COMMENT ON FUNCTION wa.add_scheduled_job(wa.schedule, timestamptz) IS 'Inserts the job of a schedule, or folds the tick into the job that is queued or running; returns the outcome and the job''s id.';

CREATE OR REPLACE FUNCTION wa.fire_schedule(
    schedule_id bigint, cron text, time_zone text, missed wa.missed_rule, ticked_to timestamptz,
    ticks timestamptz[], upto timestamptz, next_tick timestamptz
) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    s     wa.schedule;
    due   timestamptz;
    added record;
    fired integer := 0;
BEGIN
    SELECT * INTO s FROM wa.schedule w
    WHERE w.schedule_id = fire_schedule.schedule_id AND w.enabled AND w.cron = fire_schedule.cron
      AND w.time_zone = fire_schedule.time_zone AND w.missed = fire_schedule.missed
      AND w.ticked_to = fire_schedule.ticked_to
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- The job of a session would wait for an application that has locked the session.
    IF s.job_table = 'session_job' THEN
        PERFORM FROM wa.session w WHERE w.session_id = s.session_id FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    FOREACH due IN ARRAY ticks LOOP
        INSERT INTO wa.schedule_tick (schedule_id, tick, outcome) VALUES (s.schedule_id, due, 'fired')
        ON CONFLICT ON CONSTRAINT schedule_tick_pkey DO NOTHING;
        CONTINUE WHEN NOT FOUND;
        added := wa.add_scheduled_job(s, due);
        UPDATE wa.schedule_tick t SET outcome = added.outcome, job_id = added.job
        WHERE t.schedule_id = s.schedule_id AND t.tick = due;
        s.last_job := added.job;
        s.last_tick := due;
        fired := fired + 1;
    END LOOP;
    UPDATE wa.schedule w
    SET ticked_to = upto, next_tick = fire_schedule.next_tick, last_tick = s.last_tick, last_job = s.last_job
    WHERE w.schedule_id = s.schedule_id;
    RETURN fired;
END $$;
COMMENT ON FUNCTION wa.fire_schedule(bigint, text, text, wa.missed_rule, timestamptz, timestamptz[], timestamptz, timestamptz) IS 'Called by a worker when ticks are due: inserts their jobs and moves the schedule forward, all or nothing. Null when another worker was first, the schedule has changed since the worker read it, or somebody has locked it or its session.';

CREATE OR REPLACE FUNCTION wa.run_now(name text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_id bigint;
    s        wa.schedule;
    added    record;
BEGIN
    PERFORM wa.must_write('wa.maintenance_job', 'run schedules by hand');
    found_id := wa.schedule_id(run_now.name);
    SELECT * INTO s FROM wa.schedule w WHERE w.schedule_id = found_id FOR UPDATE;
    added := wa.add_scheduled_job(s, NULL);
    UPDATE wa.schedule w SET last_job = added.job WHERE w.schedule_id = s.schedule_id;
    RETURN added.job;
END $$;
COMMENT ON FUNCTION wa.run_now(text) IS 'Inserts the job of a schedule now, enabled or not, and returns its id, or that of the job that is still queued or running. Its ticks do not change. SELECT wa.run_now(''retention'');';

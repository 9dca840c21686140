-- Housekeeping: kinds, checks at INSERT, retry and cancel.

CREATE OR REPLACE FUNCTION wa.maintenance_kinds() RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT '{sweep_keys,reseal_keys,retention,check_sessions,close_idle,resource_report,retry_failed}'::text[]
$$;
COMMENT ON FUNCTION wa.maintenance_kinds() IS 'The kinds of maintenance jobs.';

CREATE OR REPLACE FUNCTION wa.maintenance_args_error(kind text, args jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    days constant text[] := '{outbound_days,inbox_days,media_days,upload_days,event_days,session_job_days,maintenance_job_days,schedule_tick_days,contacted_days,past_days,campaign_days,unread_days,file_days,numbers_days,minute_numbers_days,delivery_days,dead_delivery_days,webhook_numbers_days,company_days}';
    accepted text := 'batch, pause_ms';
    key text;
    value jsonb;
    number integer;
BEGIN
    IF jsonb_typeof(args) IS DISTINCT FROM 'object' THEN
        RETURN 'not a JSON object';
    END IF;
    IF kind = 'retention' THEN
        accepted := accepted || ', ' || array_to_string(days, ', ') || ', unread_rows, dry_run';
    END IF;
    IF kind = 'close_idle' THEN
        accepted := accepted || ', minutes';
    END IF;
    IF kind = 'retry_failed' THEN
        accepted := accepted || ', session, failure, campaign, since, until';
    END IF;
    FOR key, value IN SELECT e.key, e.value FROM jsonb_each(args) AS e LOOP
        number := CASE WHEN jsonb_typeof(value) = 'number' AND value #>> '{}' ~ '^[0-9]{1,5}$' THEN (value #>> '{}')::integer END;
        IF key = 'batch' THEN
            CONTINUE WHEN number BETWEEN 1 AND 1000;
            RETURN 'batch must be a whole number from 1 to 1000';
        ELSIF key = 'pause_ms' THEN
            CONTINUE WHEN number BETWEEN 0 AND 60000;
            RETURN 'pause_ms must be a whole number from 0 to 60000';
        ELSIF kind = 'retry_failed' AND key IN ('session', 'failure', 'campaign') THEN
            CONTINUE WHEN jsonb_typeof(value) = 'string';
            RETURN key || ' must be a text';
        ELSIF kind = 'retry_failed' AND key IN ('since', 'until') THEN
            CONTINUE WHEN jsonb_typeof(value) = 'string' AND value #>> '{}' ~ '^[0-9]{4,6}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)$';
            RETURN key || ' must be a time such as "2026-01-31T12:00:00+00:00"';
        ELSIF kind = 'close_idle' AND key = 'minutes' THEN
            CONTINUE WHEN number BETWEEN 1 AND 10000;
            RETURN 'minutes must be a whole number from 1 to 10000';
        ELSIF kind = 'retention' AND key = ANY (days) THEN
            CONTINUE WHEN value = 'null' OR number BETWEEN 1 AND 36500;
            RETURN key || ' must be a whole number from 1 to 36500, or null to keep for ever';
        ELSIF kind = 'retention' AND key = 'unread_rows' THEN
            CONTINUE WHEN value = 'null' OR jsonb_typeof(value) = 'number' AND value #>> '{}' ~ '^[1-9][0-9]{0,8}$';
            RETURN 'unread_rows must be a whole number from 1 to 999999999, or null for no limit';
        ELSIF kind = 'retention' AND key = 'dry_run' THEN
            CONTINUE WHEN jsonb_typeof(value) = 'boolean';
            RETURN 'dry_run must be true or false';
        END IF;
        RETURN format('"%s" is unknown; accepted for %s: %s', left(key, 80), kind, accepted);
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.maintenance_args_error(text, jsonb) IS 'The error in the arguments of a kind of maintenance job; null without one.';

CREATE OR REPLACE FUNCTION wa.maintenance_job_before_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE wrong text;
BEGIN
    IF NEW.kind IS NULL OR NEW.kind <> ALL (wa.maintenance_kinds()) THEN
        RAISE EXCEPTION 'kind: % is not a kind of maintenance job', coalesce('"' || left(NEW.kind, 80) || '"', 'null')
            USING ERRCODE = 'WA004', COLUMN = 'kind', HINT = 'Accepted: ' || array_to_string(wa.maintenance_kinds(), ', ') || '.';
    END IF;
    NEW.args := coalesce(NEW.args, '{}');
    wrong := wa.maintenance_args_error(NEW.kind, NEW.args);
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'args: %', wrong USING ERRCODE = 'WA022', COLUMN = 'args',
            HINT = 'Accepted: a JSON object such as {"batch": 500}; see the comment of wa.maintenance_job.args.';
    END IF;
    NEW.run_at := coalesce(NEW.run_at, now());
    PERFORM wa.check_run_at(NEW.run_at);
    NEW.max_attempts := coalesce(NEW.max_attempts, 5);
    IF NEW.max_attempts NOT BETWEEN 1 AND 100 THEN
        RAISE EXCEPTION 'max_attempts: % is out of range', NEW.max_attempts
            USING ERRCODE = 'WA014', COLUMN = 'max_attempts', HINT = 'Accepted: 1 to 100.';
    END IF;
    -- Columns that workers alone write.
    NEW.status := 'queued';
    NEW.attempts := 0;
    NEW.errors := '[]';
    NEW.created_at := now();
    NEW.worker_id := NULL;
    NEW.result := NULL;
    NEW.last_error := NULL;
    NEW.started_at := NULL;
    NEW.finished_at := NULL;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION wa.maintenance_job_before_insert() IS 'Row trigger of wa.maintenance_job: checks kind and arguments.';
CREATE OR REPLACE TRIGGER validate BEFORE INSERT ON wa.maintenance_job
    FOR EACH ROW EXECUTE FUNCTION wa.maintenance_job_before_insert();

CREATE OR REPLACE FUNCTION wa.change_maintenance_job(job bigint, wanted wa.job_status) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_status wa.job_status;
    from_status wa.job_status[] := CASE wanted WHEN 'queued' THEN '{failed,cancelled}' ELSE '{queued,running}' END;
BEGIN
    SELECT j.status INTO found_status FROM wa.maintenance_job j WHERE j.id = job FOR UPDATE;
    IF found_status IS NULL OR found_status <> ALL (from_status) THEN
        RAISE EXCEPTION 'status: maintenance job % %', job, coalesce('is ' || found_status, 'does not exist')
            USING ERRCODE = 'WA024', COLUMN = 'status', HINT = 'Accepted: the id of a job that is ' || array_to_string(from_status, ' or ') || '.';
    END IF;
    UPDATE wa.maintenance_job j
    SET status = wanted, worker_id = NULL, run_at = now(),
        attempts = CASE wanted WHEN 'queued' THEN 0 ELSE j.attempts END,
        finished_at = CASE wanted WHEN 'queued' THEN NULL ELSE now() END
    WHERE j.id = job;
    PERFORM pg_notify('wa_work', '');
END $$;
COMMENT ON FUNCTION wa.change_maintenance_job(bigint, wa.job_status) IS 'Shared by wa.retry_maintenance_job and wa.cancel_maintenance_job.';

CREATE OR REPLACE FUNCTION wa.retry_maintenance_job(id bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$ SELECT wa.change_maintenance_job(retry_maintenance_job.id, 'queued') $$;
COMMENT ON FUNCTION wa.retry_maintenance_job(bigint) IS 'Queues a failed or cancelled maintenance job again, with all its attempts; its errors are kept. SELECT wa.retry_maintenance_job(7);';

CREATE OR REPLACE FUNCTION wa.cancel_maintenance_job(id bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$ SELECT wa.change_maintenance_job(cancel_maintenance_job.id, 'cancelled') $$;
COMMENT ON FUNCTION wa.cancel_maintenance_job(bigint) IS 'Cancels a maintenance job that is queued or running; a running one stops before its next batch. SELECT wa.cancel_maintenance_job(7);';

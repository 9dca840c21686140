-- Schedules: checks at INSERT and UPDATE, and the functions that people call (Q10).

CREATE OR REPLACE FUNCTION wa.scheduled_text_error(args jsonb, region text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF jsonb_typeof(args) IS DISTINCT FROM 'object' OR args - '{recipient,body}'::text[] <> '{}'
       OR jsonb_typeof(args -> 'recipient') IS DISTINCT FROM 'string' OR jsonb_typeof(args -> 'body') IS DISTINCT FROM 'string' THEN
        RETURN 'text takes {"recipient": "+79001234567", "body": "Hello"} and nothing else';
    ELSIF char_length(args ->> 'body') NOT BETWEEN 1 AND 65536 THEN
        RETURN 'body must be 1 to 65536 characters';
    END IF;
    PERFORM wa.chat_jid(args ->> 'recipient', scheduled_text_error.region);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.scheduled_text_error(jsonb, text) IS 'The error in the arguments of a scheduled text; null without one. A bad recipient is error WA002.';

CREATE OR REPLACE FUNCTION wa.schedule_before_write() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Of a row that is new or newly enabled every column is checked, of others the changed ones.
    fresh boolean := TG_OP = 'INSERT' OR (NEW.enabled AND NOT OLD.enabled);
    wrong text;
BEGIN
    IF NEW.name IS NULL OR NEW.name !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' THEN
        RAISE EXCEPTION 'name: % is not a name for a schedule', coalesce('"' || left(NEW.name, 80) || '"', 'null')
            USING ERRCODE = 'WA005', COLUMN = 'name',
                  HINT = 'Accepted: 1 to 63 letters, digits, dots, underscores and hyphens, the first a letter or digit.';
    END IF;
    IF fresh OR NEW.cron IS DISTINCT FROM OLD.cron THEN
        wrong := wa.cron_error(NEW.cron);
        IF wrong IS NOT NULL THEN
            RAISE EXCEPTION 'cron: %', wrong USING ERRCODE = 'WA020', COLUMN = 'cron',
                HINT = 'Accepted: minute, hour, day of month, month, day of week, such as "30 3 * * *", "*/5 9-17 * * MON-FRI" or "0 0 1 JAN,JUL *".';
        END IF;
    END IF;
    NEW.time_zone := coalesce(NEW.time_zone, 'UTC');
    IF (fresh OR NEW.time_zone IS DISTINCT FROM OLD.time_zone) AND NEW.time_zone <> 'UTC'
       AND NOT wa.is_time_zone(NEW.time_zone) THEN
        RAISE EXCEPTION 'time_zone: "%" is not the name of a time zone', left(NEW.time_zone, 80)
            USING ERRCODE = 'WA021', COLUMN = 'time_zone',
                  HINT = 'Accepted: names in pg_timezone_names, such as Europe/Berlin or UTC, in the same spelling.';
    END IF;

    NEW.job_table := CASE
        WHEN NEW.kind = ANY (wa.maintenance_kinds()) THEN 'maintenance_job'
        WHEN NEW.kind IN ('connect', 'close') THEN 'session_job'
        WHEN NEW.kind = 'text' THEN 'outbound'
    END;
    IF NEW.job_table IS NULL THEN
        RAISE EXCEPTION 'kind: % is not a kind of job that can be scheduled', coalesce('"' || left(NEW.kind, 80) || '"', 'null')
            USING ERRCODE = 'WA004', COLUMN = 'kind', HINT = 'Accepted: ' || array_to_string(wa.maintenance_kinds(), ', ') || '; connect, close, text for a session.';
    END IF;
    IF NEW.job_table = 'maintenance_job' THEN
        IF NEW.session IS NOT NULL THEN
            RAISE EXCEPTION 'session: a schedule of kind % takes none', NEW.kind
                USING ERRCODE = 'WA001', COLUMN = 'session', HINT = 'Accepted for this kind: null.';
        ELSIF NOT wa.sees_all() THEN
            RAISE EXCEPTION 'permission denied: % may not schedule %, which works on all tenants', current_user, NEW.kind
                USING ERRCODE = 'insufficient_privilege',
                      HINT = 'Accepted: members of wa_admin and wa_worker; for others the kinds connect, close and text with a session.';
        END IF;
        NEW.session_id := NULL;
        NEW.tenant := NULL;
    ELSIF fresh OR NEW.session IS DISTINCT FROM OLD.session THEN
        NEW.session_id := wa.session_id(NEW.session);
        SELECT s.tenant INTO NEW.tenant FROM wa.session s WHERE s.session_id = NEW.session_id;
    END IF;
    NEW.args := coalesce(NEW.args, '{}');
    IF fresh OR NEW.args IS DISTINCT FROM OLD.args OR NEW.kind IS DISTINCT FROM OLD.kind THEN
        IF NEW.job_table = 'maintenance_job' THEN
            wrong := wa.maintenance_args_error(NEW.kind, NEW.args);
        ELSIF NEW.job_table = 'session_job' AND NEW.args <> '{}' THEN
            wrong := NEW.kind || ' takes none';
        ELSIF NEW.kind = 'text' THEN
            wrong := wa.scheduled_text_error(NEW.args, wa.region_of(NEW.session));
        END IF;
        IF wrong IS NOT NULL THEN
            RAISE EXCEPTION 'args: %', wrong USING ERRCODE = 'WA022', COLUMN = 'args',
                HINT = 'Accepted: a JSON object with the arguments of the kind; see the comment of wa.schedule.args.';
        END IF;
    END IF;
    NEW.missed := coalesce(NEW.missed, 'once');
    IF NEW.missed = 'all' AND NEW.job_table = 'session_job' THEN
        RAISE EXCEPTION 'missed: all is not possible for %', NEW.kind USING ERRCODE = 'WA023', COLUMN = 'missed',
            HINT = 'Accepted for this kind: skip, once; a session can be connected or closed only once.';
    END IF;

    NEW.enabled := coalesce(NEW.enabled, true);
    NEW.updated_at := now();
    IF TG_OP = 'INSERT' THEN
        NEW.created_at := now();
        NEW.last_tick := NULL;
        NEW.last_job := NULL;
        NEW.error := NULL;
    ELSIF NEW.job_table <> OLD.job_table THEN
        NEW.last_job := NULL;
    END IF;
    IF fresh OR NEW.cron <> OLD.cron OR NEW.time_zone <> OLD.time_zone THEN
        -- Ticks count from now: nobody asked for earlier ones.
        NEW.ticked_to := wa.cron_now();
        NEW.next_tick := NULL;
    END IF;
    IF NEW.enabled THEN
        NEW.error := NULL;
    ELSE
        NEW.next_tick := NULL;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION wa.schedule_before_write() IS 'Row trigger of wa.schedule: checks every column, fills job_table, session_id and tenant, and counts ticks from the change on.';
CREATE OR REPLACE TRIGGER validate
    BEFORE INSERT OR UPDATE OF name, cron, time_zone, job_table, kind, session, session_id, args, missed, enabled ON wa.schedule
    FOR EACH ROW EXECUTE FUNCTION wa.schedule_before_write();

-- Always rings, unlike the job tables: changes are rare, and a worker that waits for the next tick is not marked as
-- parked.
CREATE OR REPLACE FUNCTION wa.schedule_ring() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('wa_work', 'schedule');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.schedule_ring() IS 'Statement trigger of wa.schedule: wakes workers to read the schedules again.';
CREATE OR REPLACE TRIGGER ring
    AFTER INSERT OR DELETE OR UPDATE OF name, cron, time_zone, job_table, kind, session, session_id, args, missed, enabled ON wa.schedule
    FOR EACH STATEMENT EXECUTE FUNCTION wa.schedule_ring();

-- Every tick of every schedule is a statement of some worker.
CREATE OR REPLACE FUNCTION wa.schedule_limit() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE full_tenant text;
BEGIN
    SELECT a.tenant INTO full_tenant FROM (SELECT DISTINCT n.tenant FROM added n WHERE n.tenant IS NOT NULL) a
    WHERE (SELECT count(*) FROM wa.schedule s WHERE s.tenant = a.tenant) > 1000 LIMIT 1;
    IF full_tenant IS NOT NULL THEN
        RAISE EXCEPTION 'name: "%" has 1000 schedules already', full_tenant
            USING ERRCODE = 'WA025', COLUMN = 'name', HINT = 'Accepted: up to 1000 schedules for a tenant; SELECT wa.unschedule(…) deletes one.';
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.schedule_limit() IS 'Statement trigger of wa.schedule: at most 1000 schedules for a tenant.';
CREATE OR REPLACE TRIGGER bounded AFTER INSERT ON wa.schedule
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION wa.schedule_limit();

-- Each tenant has names of its own, and so have the schedules without a session.
CREATE OR REPLACE FUNCTION wa.find_schedule(name text) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_tenant CONSTANT text := substring(find_schedule.name FROM '^(.*)/');
    plain     CONSTANT text := regexp_replace(find_schedule.name, '^.*/', '');
    -- Asked here, too, because policies do not apply to functions with their owner's rights.
    found     bigint[] := ARRAY(
        SELECT s.schedule_id FROM wa.schedule s
        WHERE s.name = plain AND s.tenant IS NOT DISTINCT FROM of_tenant AND (s.tenant IS NULL OR wa.sees(s.session_id)));
    tenants   CONSTANT bigint[] := ARRAY(
        SELECT s.schedule_id FROM wa.schedule s WHERE s.name = plain AND s.tenant IS NOT NULL AND wa.sees(s.session_id));
BEGIN
    IF of_tenant IS NULL AND cardinality(tenants) > 0 AND (cardinality(found) = 0 OR NOT wa.sees_all()) THEN
        found := tenants;
    END IF;
    IF cardinality(found) > 1 THEN
        RAISE EXCEPTION 'name: schedules of several tenants are named "%"', plain
            USING ERRCODE = 'WA025', COLUMN = 'name', HINT = format('Accepted: the tenant before the name, such as acme/%s.', plain);
    END IF;
    RETURN found[1];
END $$;
COMMENT ON FUNCTION wa.find_schedule(text) IS 'The id of the schedule with this name that the caller sees; null without one. Whoever sees all tenants means a schedule without a session first, everybody else one of their own. tenant/name is exact; error WA025 for a name that several tenants have.';

CREATE OR REPLACE FUNCTION wa.schedule_id(name text) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE found_id CONSTANT bigint := wa.find_schedule(schedule_id.name);
BEGIN
    IF found_id IS NULL THEN
        RAISE EXCEPTION 'name: no schedule is named %', coalesce('"' || left(schedule_id.name, 80) || '"', 'null')
            USING ERRCODE = 'WA025', COLUMN = 'name', HINT = 'Accepted: a name in wa.schedule, or tenant/name.';
    END IF;
    RETURN found_id;
END $$;
COMMENT ON FUNCTION wa.schedule_id(text) IS 'The id of the schedule with this name, see wa.find_schedule; error WA025 without one.';

CREATE OR REPLACE FUNCTION wa.schedule(
    name text, cron text DEFAULT NULL, kind text DEFAULT NULL, args jsonb DEFAULT NULL, session text DEFAULT NULL,
    time_zone text DEFAULT NULL, missed wa.missed_rule DEFAULT NULL, enabled boolean DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    id         bigint;
    of_session bigint;
BEGIN
    IF schedule.session IS NULL THEN
        id := wa.find_schedule(schedule.name);
    ELSE
        of_session := wa.session_id(schedule.session);
        SELECT s.schedule_id INTO id FROM wa.schedule s JOIN wa.session w USING (tenant)
        WHERE s.name = schedule.name AND w.session_id = of_session;
    END IF;
    UPDATE wa.schedule s
    SET cron = coalesce(schedule.cron, s.cron), kind = coalesce(schedule.kind, s.kind),
        args = coalesce(schedule.args, s.args), session = coalesce(schedule.session, s.session),
        time_zone = coalesce(schedule.time_zone, s.time_zone), missed = coalesce(schedule.missed, s.missed),
        enabled = coalesce(schedule.enabled, s.enabled)
    WHERE s.schedule_id = id RETURNING s.schedule_id INTO id;
    IF id IS NULL THEN
        INSERT INTO wa.schedule AS s (name, cron, kind, args, session, time_zone, missed, enabled)
        VALUES (schedule.name, schedule.cron, schedule.kind, schedule.args, schedule.session, schedule.time_zone,
                schedule.missed, schedule.enabled)
        RETURNING s.schedule_id INTO id;
    END IF;
    RETURN id;
END $$;
COMMENT ON FUNCTION wa.schedule(text, text, text, jsonb, text, text, wa.missed_rule, boolean) IS 'Adds a schedule, or changes the one of this name, with a session that of its tenant; arguments that are left out stay unchanged. Returns its id. SELECT wa.schedule(''nightly'', ''0 23 * * *'', ''close'', session => ''shop'', time_zone => ''Europe/Berlin'');';

CREATE OR REPLACE FUNCTION wa.refuse_shared_schedule(name text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'name: "%" is a schedule of all tenants, which % may not change', left(refuse_shared_schedule.name, 80), wa.session_role()
        USING ERRCODE = 'insufficient_privilege', COLUMN = 'name',
              HINT = 'Accepted: schedules of sessions that this role sees; members of wa_admin change the others.';
END $$;
COMMENT ON FUNCTION wa.refuse_shared_schedule(text) IS 'Refuses the change of a schedule without a tenant. Everybody may know these; the names of other tenants'' schedules are not found at all (error WA025).';

-- With its owner's rights: a role that may delete from a table may also lock it, and with it every worker (R8).
CREATE OR REPLACE FUNCTION wa.unschedule(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE found_id CONSTANT bigint := wa.schedule_id(unschedule.name);
BEGIN
    PERFORM wa.must_send();
    DELETE FROM wa.schedule s WHERE s.schedule_id = found_id AND (wa.sees_all() OR wa.sees(s.session_id));
    IF NOT FOUND THEN
        PERFORM wa.refuse_shared_schedule(unschedule.name);
    END IF;
END $$;
COMMENT ON FUNCTION wa.unschedule(text) IS 'Deletes a schedule; its jobs stay. A deleted default schedule does not come back. SELECT wa.unschedule(''nightly'');';

CREATE OR REPLACE FUNCTION wa.enable_schedule(name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE found_id CONSTANT bigint := wa.schedule_id(enable_schedule.name);
BEGIN
    UPDATE wa.schedule s SET enabled = true WHERE s.schedule_id = found_id;
    IF NOT FOUND THEN
        PERFORM wa.refuse_shared_schedule(enable_schedule.name);
    END IF;
END $$;
COMMENT ON FUNCTION wa.enable_schedule(text) IS 'Enables a schedule, from its next tick on. SELECT wa.enable_schedule(''nightly'');';

CREATE OR REPLACE FUNCTION wa.disable_schedule(name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE found_id CONSTANT bigint := wa.schedule_id(disable_schedule.name);
BEGIN
    UPDATE wa.schedule s SET enabled = false WHERE s.schedule_id = found_id;
    IF NOT FOUND THEN
        PERFORM wa.refuse_shared_schedule(disable_schedule.name);
    END IF;
END $$;
COMMENT ON FUNCTION wa.disable_schedule(text) IS 'Disables a schedule; jobs that it queued already stay. SELECT wa.disable_schedule(''nightly'');';

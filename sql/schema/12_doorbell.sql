-- The doorbell (Q9): how an INSERT wakes sleeping workers.

-- NOTIFY takes a lock that every committing transaction shares, so an insert rings only while a worker sleeps, and only
-- the worker that can use it: each has a channel of its own, wa_work_ and its id. Every role that may insert may ring, but
-- not every one may see the workers, so wa.wake runs with its owner's rights. A payload is the session of new messages, if
-- there is but one; without, the worker looks for everything.
CREATE OR REPLACE FUNCTION wa.wake(session_ids bigint[] DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM wa.worker WHERE parked) THEN
        RETURN;
    END IF;
    IF session_ids IS NULL THEN
        PERFORM pg_notify('wa_work', '');
        RETURN;
    END IF;
    PERFORM pg_notify('wa_work_' || w.worker_id, CASE WHEN count(*) = 1 THEN min(l.session_id)::text ELSE '' END)
    FROM wa.lease l JOIN wa.worker w ON w.worker_id = l.holder
    WHERE l.session_id = ANY (session_ids) AND w.parked
    GROUP BY w.worker_id;
END $$;
COMMENT ON FUNCTION wa.wake(bigint[]) IS 'Wakes the sleeping workers that hold these sessions, or all that sleep, by NOTIFY; costs next to nothing while workers are busy. Inserts into the job tables call it by themselves.';

-- A job without a holder is for any worker, and one is enough: if that one cannot take it, the others find it when they
-- poll.
CREATE OR REPLACE FUNCTION wa.ring() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_RELID NOT IN ('wa.session_job'::regclass, 'wa.maintenance_job'::regclass) THEN
        RAISE EXCEPTION 'wa.ring is the trigger of the job tables alone' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT EXISTS (SELECT FROM wa.worker WHERE parked) THEN
        RETURN NULL;
    END IF;
    IF TG_RELID = 'wa.session_job'::regclass THEN
        PERFORM pg_notify('wa_work_' || w.worker_id, '')
        FROM (SELECT DISTINCT l.holder FROM fresh f JOIN wa.lease l USING (session_id)) l JOIN wa.worker w ON w.worker_id = l.holder
        WHERE w.parked;
        IF EXISTS (SELECT FROM fresh f LEFT JOIN wa.lease l USING (session_id) WHERE l.holder IS NULL) THEN
            PERFORM wa.wake();
        END IF;
    ELSE
        PERFORM pg_notify('wa_work_' || w.worker_id, '')
        FROM (SELECT w.worker_id FROM wa.worker w WHERE w.parked AND w.lease_until > now() ORDER BY random() LIMIT 1) w
        WHERE EXISTS (SELECT FROM fresh);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.ring() IS 'Statement trigger of wa.session_job and wa.maintenance_job: wakes the workers that can run the new jobs.';

CREATE OR REPLACE TRIGGER ring AFTER INSERT ON wa.session_job REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION wa.ring();
CREATE OR REPLACE TRIGGER ring AFTER INSERT ON wa.maintenance_job REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION wa.ring();

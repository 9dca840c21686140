-- The doorbell (Q9): how an INSERT wakes sleeping workers.

-- NOTIFY takes a lock that every committing transaction shares, so an insert rings only while a worker sleeps. Every
-- role that may insert may ring, but not every one may see the workers, so wa.wake runs with its owner's rights.
CREATE OR REPLACE FUNCTION wa.wake() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM wa.worker WHERE parked) THEN
        PERFORM pg_notify('wa_work', '');
    END IF;
END $$;
COMMENT ON FUNCTION wa.wake() IS 'Wakes sleeping workers by NOTIFY wa_work without a payload; costs next to nothing while workers are busy. Inserts into the job tables call it by themselves.';

CREATE OR REPLACE FUNCTION wa.ring() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM wa.wake();
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.ring() IS 'Statement trigger of the job tables: calls wa.wake.';

CREATE OR REPLACE TRIGGER ring AFTER INSERT ON wa.outbound FOR EACH STATEMENT EXECUTE FUNCTION wa.ring();
CREATE OR REPLACE TRIGGER ring AFTER INSERT ON wa.session_job FOR EACH STATEMENT EXECUTE FUNCTION wa.ring();
CREATE OR REPLACE TRIGGER ring AFTER INSERT ON wa.maintenance_job FOR EACH STATEMENT EXECUTE FUNCTION wa.ring();

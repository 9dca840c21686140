-- The doorbell (Q9): how an INSERT wakes sleeping workers.

-- NOTIFY takes a lock that every committing transaction shares, so an insert rings only while a worker sleeps. Whoever may
-- insert may ring; who the workers are is not everybody's business, so these look with their owner's eyes.
CREATE OR REPLACE FUNCTION wa.wake() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM wa.worker WHERE parked) THEN
        PERFORM pg_notify('wa_work', '');
    END IF;
END $$;
COMMENT ON FUNCTION wa.wake() IS 'Wakes sleeping workers by NOTIFY wa_work, which carries nothing, and costs next to nothing while they are busy. Inserts into the job tables do it by themselves.';

CREATE OR REPLACE FUNCTION wa.ring() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM wa.wake();
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.ring() IS 'Statement trigger of the job tables: as wa.wake.';

CREATE OR REPLACE TRIGGER ring AFTER INSERT ON wa.outbound FOR EACH STATEMENT EXECUTE FUNCTION wa.ring();
CREATE OR REPLACE TRIGGER ring AFTER INSERT ON wa.session_job FOR EACH STATEMENT EXECUTE FUNCTION wa.ring();
CREATE OR REPLACE TRIGGER ring AFTER INSERT ON wa.maintenance_job FOR EACH STATEMENT EXECUTE FUNCTION wa.ring();

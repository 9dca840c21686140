-- NOTIFY takes a lock that every committing transaction shares, so an insert rings only while a worker sleeps.
CREATE OR REPLACE FUNCTION wa.ring() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM wa.worker WHERE parked) THEN
        PERFORM pg_notify('wa_work', '');
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.ring() IS 'Statement trigger of the job tables: wakes sleeping workers, and costs next to nothing while they are busy.';

CREATE OR REPLACE TRIGGER ring AFTER INSERT ON wa.outbound FOR EACH STATEMENT EXECUTE FUNCTION wa.ring();
CREATE OR REPLACE TRIGGER ring AFTER INSERT ON wa.session_job FOR EACH STATEMENT EXECUTE FUNCTION wa.ring();
CREATE OR REPLACE TRIGGER ring AFTER INSERT ON wa.maintenance_job FOR EACH STATEMENT EXECUTE FUNCTION wa.ring();

CREATE OR REPLACE FUNCTION wa.maintenance_job_before_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.kind IS DISTINCT FROM 'sweep_keys' THEN
        RAISE EXCEPTION 'kind: % is not a kind of maintenance job', coalesce('"' || left(NEW.kind, 80) || '"', 'null')
            USING ERRCODE = 'WA004', COLUMN = 'kind', HINT = 'Accepted: sweep_keys.';
    END IF;
    NEW.status := 'queued';
    NEW.run_at := coalesce(NEW.run_at, now());
    RETURN NEW;
END $$;
COMMENT ON FUNCTION wa.maintenance_job_before_insert() IS 'Row trigger of wa.maintenance_job: checks the kind.';
CREATE OR REPLACE TRIGGER validate BEFORE INSERT ON wa.maintenance_job
    FOR EACH ROW EXECUTE FUNCTION wa.maintenance_job_before_insert();

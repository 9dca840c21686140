-- What would grow for ever (R6): consumers that nobody reads for, and files of the media store whose row is gone.

CREATE OR REPLACE FUNCTION wa.must_not_be_paused(consumer wa.consumer) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF consumer.paused_at IS NOT NULL THEN
        RAISE EXCEPTION 'consumer: "%" is paused: %', consumer.name, consumer.paused_reason
            USING ERRCODE = 'WA033', COLUMN = 'consumer',
                  HINT = format('SELECT wa.rewind_consumer(%L, since) ends the pause; messages received since that moment are read again.', consumer.name);
    END IF;
END $$;
COMMENT ON FUNCTION wa.must_not_be_paused(wa.consumer) IS 'Refuses a claim of a consumer that the retention job has paused; error WA033.';

CREATE OR REPLACE FUNCTION wa.media_dropped() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Files elsewhere in the store are not ours.
    INSERT INTO wa.dropped_file (path)
    SELECT DISTINCT gone.path FROM gone WHERE starts_with(gone.path, gone.tenant || '/received/')
    ON CONFLICT ON CONSTRAINT dropped_file_pkey DO UPDATE SET dropped_at = now();
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.media_dropped() IS 'Statement trigger of wa.media: notes the files of deleted rows in wa.dropped_file.';
CREATE OR REPLACE TRIGGER dropped AFTER DELETE ON wa.media
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION wa.media_dropped();

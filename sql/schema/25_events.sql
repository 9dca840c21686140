-- Events are announced one by one: there are few, and each may be what somebody waits for.

CREATE OR REPLACE FUNCTION wa.event_after_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('wa_event', json_build_object('id', NEW.id, 'session', NEW.session, 'kind', NEW.kind)::text);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.event_after_insert() IS 'Row trigger of wa.event: announces it.';
CREATE OR REPLACE TRIGGER announce AFTER INSERT ON wa.event
    FOR EACH ROW EXECUTE FUNCTION wa.event_after_insert();

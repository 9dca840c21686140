-- Files of received messages, on demand and by rule (M6).

CREATE OR REPLACE FUNCTION wa.download(inbox_id bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE of_session text;
BEGIN
    SELECT i.session INTO of_session FROM wa.inbox i WHERE i.id = download.inbox_id AND i.media IS NOT NULL;
    IF of_session IS NULL THEN
        RAISE EXCEPTION 'inbox_id: % is not a message with a file', coalesce(download.inbox_id::text, 'null')
            USING ERRCODE = 'WA036', COLUMN = 'inbox_id', HINT = 'Accepted: the id of a row of wa.inbox whose column media is set.';
    END IF;
    RETURN wa.act(of_session, 'download', jsonb_build_object('inbox_id', download.inbox_id));
END $$;
COMMENT ON FUNCTION wa.download(bigint) IS 'Downloads the file of a received message and returns the id of the job in wa.session_job, whose result is {"media", "mime", "size"}: the media_id of wa.media, which wa.inbox.media_id gets too. SELECT wa.download(42);';

-- With its owner's rights: a role that may send may add rules for its tenants.
CREATE OR REPLACE FUNCTION wa.add_download_rule(session text DEFAULT NULL, kinds text[] DEFAULT NULL, max_bytes bigint DEFAULT NULL, tenant text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    of_session CONSTANT bigint := CASE WHEN add_download_rule.session IS NOT NULL THEN wa.session_id(add_download_rule.session) END;
    of_tenant  text;
    unknown    text;
    added      bigint;
BEGIN
    PERFORM wa.must_send();
    SELECT k INTO unknown FROM unnest(add_download_rule.kinds) k WHERE k IS NULL OR k NOT IN (SELECT m.kind FROM wa.media_kinds() m) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'kinds: % is not a kind of message with a file', coalesce('"' || left(unknown, 80) || '"', 'null')
            USING ERRCODE = 'WA004', COLUMN = 'kinds', HINT = 'Accepted: ' || (SELECT string_agg(m.kind, ', ') FROM wa.media_kinds() m) || '.';
    ELSIF add_download_rule.max_bytes < 1 THEN
        RAISE EXCEPTION 'max_bytes: % is out of range', add_download_rule.max_bytes
            USING ERRCODE = 'WA036', COLUMN = 'max_bytes', HINT = 'Accepted: 1 and more, or leave it out.';
    END IF;
    IF of_session IS NULL THEN
        of_tenant := wa.chosen_tenant(add_download_rule.tenant);
    ELSE
        SELECT s.tenant INTO of_tenant FROM wa.session s WHERE s.session_id = of_session;
    END IF;
    INSERT INTO wa.download_rule AS r (tenant, session_id, kinds, max_bytes)
    VALUES (of_tenant, of_session, add_download_rule.kinds, add_download_rule.max_bytes)
    RETURNING r.rule_id INTO added;
    RETURN added;
END $$;
COMMENT ON FUNCTION wa.add_download_rule(text, text[], bigint, text) IS 'Downloads files automatically from now on, and returns the rule_id: of one session or of all sessions of a tenant (without one the only tenant that the caller sees, else "default"), of some kinds or of all, up to a size. SELECT wa.add_download_rule(''shop'', ''{image,voice}'', 5000000);';

CREATE OR REPLACE FUNCTION wa.remove_download_rule(rule_id bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM wa.must_send();
    DELETE FROM wa.download_rule r
    WHERE r.rule_id = remove_download_rule.rule_id AND (wa.sees_all() OR r.tenant = ANY (wa.my_tenants()));
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION wa.remove_download_rule(bigint) IS 'Deletes a rule of wa.add_download_rule; false when there is none.';

CREATE OR REPLACE FUNCTION wa.inbox_download() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM wa.download_rule r JOIN wa.session s USING (tenant)
        WHERE s.session_id = NEW.session_id AND coalesce(r.session_id, s.session_id) = s.session_id
          AND NEW.kind = ANY (coalesce(r.kinds, ARRAY[NEW.kind]))
          AND coalesce((NEW.media ->> 'size')::numeric <= r.max_bytes, r.max_bytes IS NULL)
    ) THEN
        INSERT INTO wa.session_job (session, kind, args) VALUES (NEW.session, 'download', jsonb_build_object('inbox_id', NEW.id));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.inbox_download() IS 'Row trigger of wa.inbox: queues a download for each file that a rule selects.';
CREATE OR REPLACE TRIGGER download AFTER INSERT ON wa.inbox
    FOR EACH ROW WHEN (NEW.media IS NOT NULL) EXECUTE FUNCTION wa.inbox_download();

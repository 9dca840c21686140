-- Files to send: bytes that are put into wa.media, and the check that content names exactly one file.

-- With its owner's rights: a role that may send may add media, but not change any.
CREATE OR REPLACE FUNCTION wa.add_media(session text, data bytea, mime text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    of_session CONSTANT bigint := wa.session_id(add_media.session);
    added      bigint;
BEGIN
    PERFORM wa.must_send();
    IF coalesce(octet_length(add_media.data), 0) NOT BETWEEN 1 AND 67108864 THEN
        RAISE EXCEPTION 'data: % bytes are out of range', coalesce(octet_length(add_media.data), 0)
            USING ERRCODE = 'WA035', COLUMN = 'data', HINT = 'Accepted: 1 to 67108864 bytes; for more, a large object or a file in the media store.';
    ELSIF length(add_media.mime) NOT BETWEEN 3 AND 255 THEN
        RAISE EXCEPTION 'mime: "%" is not a media type', left(add_media.mime, 80)
            USING ERRCODE = 'WA035', COLUMN = 'mime', HINT = 'Accepted: a media type such as application/pdf, or leave it out.';
    END IF;
    -- The age of a file starts again each time it is added, so that retention keeps it for the message that follows.
    INSERT INTO wa.media AS m (tenant, sha256, size, mime, data)
    SELECT s.tenant, sha256(add_media.data), octet_length(add_media.data), add_media.mime, add_media.data
    FROM wa.session s WHERE s.session_id = of_session
    ON CONFLICT (tenant, sha256) DO UPDATE SET created_at = now(), mime = coalesce(m.mime, EXCLUDED.mime)
    WHERE m.created_at < now() - interval '1 hour' OR m.mime IS NULL AND EXCLUDED.mime IS NOT NULL
    RETURNING m.media_id INTO added;
    IF added IS NULL THEN
        SELECT m.media_id INTO added FROM wa.media m JOIN wa.session s USING (tenant)
        WHERE s.session_id = of_session AND m.sha256 = sha256(add_media.data);
    END IF;
    RETURN added;
END $$;
COMMENT ON FUNCTION wa.add_media(text, bytea, text) IS 'Puts a file into wa.media, for the sessions of the session''s tenant, and returns its media_id; a file that is there already keeps its id, and its mime, if it has one. SELECT wa.send_image(''shop'', ''+79001234567'', media => wa.add_media(''shop'', pg_read_binary_file(''/srv/may.jpg'')));';

CREATE OR REPLACE FUNCTION wa.check_media(session text, content jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    sources CONSTANT text[] := ARRAY(SELECT s FROM unnest('{url,data,media,large_object,file}'::text[]) s WHERE check_media.content ? s);
    named   CONSTANT bigint := CASE WHEN sources[1] IN ('media', 'large_object') THEN check_media.content ->> sources[1] END;
BEGIN
    IF cardinality(sources) <> 1 THEN
        RAISE EXCEPTION 'content.%: %', coalesce(sources[2], 'url'), CASE cardinality(sources) WHEN 0 THEN 'missing; a file needs one source' ELSE 'not together with ' || sources[1] END
            USING ERRCODE = 'WA032', COLUMN = 'content', HINT = 'Accepted: one of url, data, media, large_object, file.';
    ELSIF sources[1] = 'data' THEN
        RETURN check_media.content - 'data' || jsonb_build_object('media', wa.add_media(check_media.session, decode(check_media.content #>> '{data,data}', 'base64')));
    ELSIF sources[1] = 'media' AND NOT EXISTS (
        SELECT FROM wa.media m JOIN wa.session s USING (tenant) WHERE s.name = check_media.session AND m.media_id = named
    ) THEN
        RAISE EXCEPTION 'content.media: no media % for this session', named
            USING ERRCODE = 'WA032', COLUMN = 'content', HINT = 'Accepted: a media_id of wa.media, as wa.add_media returns it.';
    ELSIF sources[1] = 'large_object' THEN
        BEGIN
            -- The caller must be allowed to read the object.
            IF octet_length(lo_get(named::oid, 0, 1)) = 0 THEN
                RAISE undefined_object;
            END IF;
        EXCEPTION WHEN undefined_object OR insufficient_privilege OR numeric_value_out_of_range THEN
            RAISE EXCEPTION 'content.large_object: no large object % that you may read and that is not empty', named
                USING ERRCODE = 'WA032', COLUMN = 'content';
        END;
        -- Who named it: by the time of sending the number may be that of another object (wa.may_read_large_object).
        RETURN check_media.content || jsonb_build_object('large_object_reader', current_user);
    END IF;
    RETURN check_media.content;
END $$;
COMMENT ON FUNCTION wa.check_media(text, jsonb) IS 'Checks that content names one file and that the file exists; moves bytes in content.data to wa.media.';

-- A worker reads large objects with its own rights, for whoever named them. The number of one that was deleted may come
-- again, for a file of another tenant.
CREATE OR REPLACE FUNCTION wa.may_read_large_object(reader text, object oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM pg_largeobject_metadata m
        WHERE m.oid = object
          AND (pg_has_role(to_regrole(quote_ident(reader)), m.lomowner, 'usage')
               OR EXISTS (SELECT FROM aclexplode(m.lomacl) a
                          WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_has_role(to_regrole(quote_ident(reader)), a.grantee, 'usage'))))
    )
$$;
COMMENT ON FUNCTION wa.may_read_large_object(text, oid) IS 'Whether a role may read a large object now. False for a role or an object that does not exist.';

-- The check of wa.outbound.content and wa.session_job.args, field by field.

-- One value: in kept as it is stored, or in accepted a description of accepted values.
CREATE OR REPLACE FUNCTION wa.content_value(type text, low numeric, high numeric, given jsonb, region text, OUT kept jsonb, OUT accepted text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    json_type CONSTANT text := jsonb_typeof(given);
    plain     CONSTANT text := given #>> '{}';
    one       text;
BEGIN
    kept := given;
    CASE content_value.type
    WHEN 'number', 'integer' THEN
        IF json_type <> 'number' OR plain::numeric NOT BETWEEN low AND high
           OR (content_value.type = 'integer' AND plain::numeric <> trunc(plain::numeric)) THEN
            accepted := format('%s %s to %s', CASE content_value.type WHEN 'number' THEN 'a number,' ELSE 'a whole number,' END, low, high);
        END IF;
    WHEN 'boolean' THEN
        IF json_type <> 'boolean' THEN
            accepted := 'true or false';
        END IF;
    WHEN 'text' THEN
        IF json_type <> 'string' OR length(plain) NOT BETWEEN low AND high THEN
            accepted := format('a text of %s to %s characters', low, high);
        END IF;
    WHEN 'texts' THEN
        IF json_type <> 'array' OR jsonb_array_length(given) NOT BETWEEN low AND high
           OR EXISTS (SELECT FROM jsonb_array_elements(given) t WHERE jsonb_typeof(t) <> 'string' OR length(t #>> '{}') NOT BETWEEN 1 AND 100)
           OR (SELECT count(DISTINCT t) < count(*) FROM jsonb_array_elements_text(given) t) THEN
            accepted := format('%s to %s texts of 1 to 100 characters, no two alike', low, high);
        END IF;
    WHEN 'message' THEN
        IF json_type <> 'string' OR plain !~ '^[0-9A-Za-z._:-]{1,128}$' THEN
            accepted := 'the message_id of a message';
        END IF;
    WHEN 'messages' THEN
        IF json_type <> 'array' OR jsonb_array_length(given) NOT BETWEEN low AND high
           OR EXISTS (SELECT FROM jsonb_array_elements(given) m WHERE jsonb_typeof(m) <> 'string' OR m #>> '{}' !~ '^[0-9A-Za-z._:-]{1,128}$') THEN
            accepted := format('%s to %s values of message_id', low, high);
        END IF;
    WHEN 'id' THEN
        IF json_type <> 'number' OR plain !~ '^[1-9][0-9]{0,17}$' THEN
            accepted := 'an id, which is a whole number';
        END IF;
    WHEN 'url' THEN
        IF json_type <> 'string' OR plain !~* '^https?://[^/?#[:space:]]+[^[:space:]]*$' OR length(plain) > 4096 THEN
            accepted := 'an address that begins with https:// or http://, of 4096 characters at most';
        END IF;
    WHEN 'path' THEN
        IF json_type <> 'string' OR length(plain) NOT BETWEEN 1 AND 1024 OR plain ~ '[[:cntrl:]\\]' OR '' = ANY (string_to_array(plain, '/'))
           OR string_to_array(plain, '/') && '{.,..}' THEN
            accepted := 'a relative path such as offers/may.jpg, of 1024 characters at most, without . and ..';
        END IF;
    WHEN 'bytes' THEN
        BEGIN
            kept := jsonb_build_object('type', 'Buffer', 'data', translate(encode(decode(plain, 'base64'), 'base64'), E'\n', ''));
            IF json_type <> 'string' OR octet_length(decode(plain, 'base64')) NOT BETWEEN low AND high THEN
                accepted := format('%s to %s bytes, as base64', low, high);
            END IF;
        EXCEPTION WHEN invalid_parameter_value THEN
            accepted := format('%s to %s bytes, as base64', low, high);
        END;
    WHEN 'chat', 'person' THEN
        kept := to_jsonb(wa.jid(plain, content_value.region));
        IF json_type <> 'string' OR kept IS NULL OR (content_value.type = 'person' AND plain LIKE '%@g.us') OR plain = 'status@broadcast' THEN
            accepted := 'a phone number or JID';
        END IF;
    WHEN 'group' THEN
        IF json_type <> 'string' OR coalesce(wa.jid(plain) NOT LIKE '%@g.us', true) THEN
            accepted := 'the JID of a group, which ends in @g.us';
        END IF;
    WHEN 'people' THEN
        accepted := format('%s to %s phone numbers or JIDs of people', low, high);
        IF json_type <> 'array' OR jsonb_array_length(given) NOT BETWEEN low AND high
           OR EXISTS (SELECT FROM jsonb_array_elements(given) p WHERE jsonb_typeof(p) <> 'string') THEN
            RETURN;
        END IF;
        kept := '[]';
        FOR one IN SELECT wa.jid(p, content_value.region) FROM jsonb_array_elements_text(given) p LOOP
            IF one IS NULL OR one LIKE '%@g.us' OR one = 'status@broadcast' THEN
                RETURN;
            END IF;
            kept := kept || to_jsonb(one);
        END LOOP;
        accepted := NULL;
    ELSE
        IF json_type <> 'string' OR plain <> ALL (string_to_array(content_value.type, ', ')) THEN
            accepted := content_value.type;
        END IF;
    END CASE;
END $$;
COMMENT ON FUNCTION wa.content_value(text, numeric, numeric, jsonb, text) IS 'Checks one field of wa.outbound.content or wa.session_job.args: returns the value as it is kept, or in accepted a description of accepted values.';

CREATE OR REPLACE FUNCTION wa.check_fields(target text, kind text, given jsonb, region text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    of_kind CONSTANT text := check_fields.kind;
    code    CONSTANT text := CASE check_fields.target WHEN 'content' THEN 'WA032' ELSE 'WA034' END;
    fields  CONSTANT jsonb := jsonb_strip_nulls(coalesce(check_fields.given, '{}'));
    kept    jsonb := '{}';
    known   record;
    value   record;
    unknown text;
BEGIN
    IF jsonb_typeof(fields) <> 'object' THEN
        RAISE EXCEPTION '%: a JSON % is not an object', target, jsonb_typeof(fields)
            USING ERRCODE = code, COLUMN = target, HINT = 'Accepted: the fields that wa.message_fields() or wa.action_fields() has for the kind.';
    END IF;
    SELECT f INTO unknown FROM jsonb_object_keys(fields) f WHERE f NOT IN (SELECT d.field FROM wa.fields(target, of_kind) d) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '%.%: % has no such field', target, left(unknown, 80), of_kind
            USING ERRCODE = code, COLUMN = target,
                  HINT = 'Accepted: ' || coalesce((SELECT string_agg(d.field, ', ') FROM wa.fields(target, of_kind) d), 'none') || '.';
    END IF;
    FOR known IN SELECT * FROM wa.fields(target, of_kind) LOOP
        IF fields ? known.field THEN
            SELECT * INTO value FROM wa.content_value(known.type, known.low, known.high, fields -> known.field, check_fields.region);
            IF value.accepted IS NOT NULL THEN
                RAISE EXCEPTION '%.%: % is not accepted', target, known.field, left(fields ->> known.field, 80)
                    USING ERRCODE = code, COLUMN = target, HINT = 'Accepted: ' || value.accepted || '.';
            END IF;
            kept := kept || jsonb_build_object(known.field, value.kept);
        ELSIF known.required THEN
            RAISE EXCEPTION '%.%: missing; % needs it', target, known.field, of_kind
                USING ERRCODE = code, COLUMN = target, HINT = known.about;
        END IF;
    END LOOP;
    RETURN kept;
END $$;
COMMENT ON FUNCTION wa.check_fields(text, text, jsonb, text) IS 'Checks wa.outbound.content (target content) or wa.session_job.args (target args) for a kind, and returns it as it is kept. Errors WA032 and WA034 name the field and what is accepted.';

CREATE OR REPLACE FUNCTION wa.is_time_zone(name text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    -- Files beside the zones are in the list, too: the server's own zone, its rules for others, and the one of a system
    -- that has none; and on some systems every zone once more in a folder.
    SELECT coalesce(is_time_zone.name !~ '^(posix|right)/' AND is_time_zone.name NOT IN ('Factory', 'localtime', 'posixrules')
                    AND EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = is_time_zone.name), false)
$$;
COMMENT ON FUNCTION wa.is_time_zone(text) IS 'Whether pacing and schedules accept a time zone: a name of pg_timezone_names that means the same on every system.';

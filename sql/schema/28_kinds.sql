-- Kinds of messages. This is the one place that says which there are and what each takes: the check at INSERT reads it, the
-- functions wa.send_… are made from it, and the worker's types and docs/messages.md are compared with it by tests.

CREATE OR REPLACE FUNCTION wa.message_kinds() RETURNS TABLE (kind text, body text, about text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ VALUES
    ('text', 'required', 'A text. *bold*, _italic_, ~struck~ and ```code``` look as in the app.'),
    ('image', 'optional', 'A picture (body is its caption): JPEG, PNG, WebP, or the first image of a GIF.'),
    ('video', 'optional', 'A film (body is its caption): MP4 with H.264 and AAC is what every phone plays.'),
    ('gif', 'optional', 'A short film that plays again and again without sound, as apps show GIFs (body is its caption): MP4.'),
    ('audio', 'none', 'Music or another sound: MP3, M4A, AAC, Ogg and the like.'),
    ('voice', 'none', 'A voice note: Ogg with Opus is what every phone plays.'),
    ('document', 'optional', 'Any file (body is its caption).'),
    ('sticker', 'none', 'A sticker: WebP as it is; another picture becomes one of 512 by 512 pixels.'),
    ('location', 'none', 'A place on the map.'),
    ('contact', 'none', 'A contact card, from a phone number or a vCard.'),
    ('poll', 'required', 'A question (body) with options to choose from.'),
    ('reaction', 'optional', 'An emoji (body) on a message; without body the reaction is taken back.'),
    ('edit', 'required', 'New words for a text of ours.'),
    ('revoke', 'none', 'Takes a message of ours back for everyone; in a group an admin takes back those of others too.'),
    ('forward', 'none', 'A message of this chat or another one, sent on.'),
    ('read', 'none', 'Tells the sender that messages were read.'),
    ('chat_state', 'none', 'Shows "typing…" or "recording…", or shows it no more.')
$$;
COMMENT ON FUNCTION wa.message_kinds() IS 'Kinds of messages for wa.outbound.kind: whether body is required, optional or none, and what it is.';

CREATE OR REPLACE FUNCTION wa.media_kinds() RETURNS TABLE (kind text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT unnest('{image,video,gif,audio,voice,document,sticker}'::text[]) $$;
COMMENT ON FUNCTION wa.media_kinds() IS 'The kinds of messages with a file, which content names in one of url, data, media, large_object and file.';

CREATE OR REPLACE FUNCTION wa.message_fields() RETURNS TABLE (kind text, field text, type text, required boolean, low numeric, high numeric, about text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT m.kind, f.* FROM wa.media_kinds() m CROSS JOIN (VALUES
    ('url', 'url', false, NULL::numeric, NULL::numeric, 'Where the worker fetches it.'),
    ('data', 'bytes', false, 1::numeric, 67108864::numeric, 'Its bytes; base64 in JSON. They are kept in wa.media, and content gets its id.'),
    ('media', 'id', false, NULL, NULL, 'A media_id of wa.media.'),
    ('large_object', 'id', false, NULL, NULL, 'A large object that you and wa_worker may read.'),
    ('file', 'path', false, NULL, NULL, 'A path in the media store, in the folder with the name of the session''s tenant.'),
    ('quote', 'message', false, NULL, NULL, 'The message that it answers.')
) f (field, type, required, low, high, about)
UNION ALL
SELECT k.kind, f.* FROM unnest('{image,video,gif,document}'::text[]) k (kind) CROSS JOIN (VALUES
    ('mentions', 'people', false, 1::numeric, 1024::numeric, 'Whom the body mentions; it has @ and the number of each.')
) f (field, type, required, low, high, about)
UNION ALL
SELECT k.kind, f.* FROM unnest('{image,video,gif,voice}'::text[]) k (kind) CROSS JOIN (VALUES
    ('audience', 'people', false, 1::numeric, 10000::numeric, 'Who may see it; for status@broadcast alone, and needed there.')
) f (field, type, required, low, high, about)
UNION ALL VALUES
    ('video', 'thumbnail', 'bytes', false, 1::numeric, 65536::numeric, 'A small JPEG that is shown until it is loaded; base64 in JSON.'),
    ('gif', 'thumbnail', 'bytes', false, 1, 65536, 'A small JPEG that is shown until it is loaded; base64 in JSON.'),
    ('document', 'thumbnail', 'bytes', false, 1, 65536, 'A small JPEG of its first page; base64 in JSON.'),
    ('document', 'file_name', 'text', false, 1, 255, 'Its name; else the last part of url or file.'),
    ('document', 'mime', 'text', false, 3, 255, 'Its type, such as application/pdf; else what its bytes or its name say.'),
    ('text', 'quote', 'message', false, NULL, NULL, 'The message that it answers.'),
    ('text', 'mentions', 'people', false, 1, 1024, 'Whom the body mentions; it has @ and the number of each.'),
    ('text', 'audience', 'people', false, 1, 10000, 'Who may see it; for status@broadcast alone, and needed there.'),
    ('location', 'latitude', 'number', true, -90, 90, 'Degrees north.'),
    ('location', 'longitude', 'number', true, -180, 180, 'Degrees east.'),
    ('location', 'name', 'text', false, 1, 1000, 'What the place is called.'),
    ('location', 'address', 'text', false, 1, 1000, 'Where it is, in words.'),
    ('location', 'quote', 'message', false, NULL, NULL, 'The message that it answers.'),
    ('contact', 'name', 'text', true, 1, 1000, 'Whose card it is.'),
    ('contact', 'phone', 'person', false, NULL, NULL, 'The number; needed without vcard.'),
    ('contact', 'vcard', 'text', false, 1, 65536, 'A vCard 3.0 of your own.'),
    ('contact', 'quote', 'message', false, NULL, NULL, 'The message that it answers.'),
    ('poll', 'options', 'texts', true, 2, 12, 'What there is to choose from; 1 to 100 characters each, no two alike.'),
    ('poll', 'choices', 'integer', false, 0, 12, 'How many may be chosen, 0 for any number; 1 unless given.'),
    ('poll', 'quote', 'message', false, NULL, NULL, 'The message that it answers.'),
    ('reaction', 'message_id', 'message', true, NULL, NULL, 'The message that it is on.'),
    ('edit', 'message_id', 'message', true, NULL, NULL, 'The message that it changes.'),
    ('edit', 'mentions', 'people', false, 1, 1024, 'Whom the body mentions.'),
    ('revoke', 'message_id', 'message', true, NULL, NULL, 'The message that is taken back.'),
    ('revoke', 'audience', 'people', false, 1, 10000, 'Who could see it; for status@broadcast alone, and needed there.'),
    ('forward', 'message_id', 'message', true, NULL, NULL, 'The message that is sent on; wa.inbox or wa.outbound has it.'),
    ('forward', 'chat', 'chat', false, NULL, NULL, 'The chat that it stands in; this one unless given.'),
    ('read', 'message_ids', 'messages', true, 1, 1000, 'The messages that were read.'),
    ('read', 'sender', 'person', false, NULL, NULL, 'Who wrote them; needed in groups.'),
    ('chat_state', 'state', 'typing, recording, paused', true, NULL, NULL, 'What is shown.')
$$;
COMMENT ON FUNCTION wa.message_fields() IS 'What wa.outbound.content takes for each kind: field, type, whether it is required, and its least and greatest value, length or count.';

-- One value of content, as it is kept; what it must be, when it is not.
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
COMMENT ON FUNCTION wa.content_value(text, numeric, numeric, jsonb, text) IS 'Checks one field of wa.outbound.content or wa.session_job.args: how it is kept, or in accepted what it must be.';

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
COMMENT ON FUNCTION wa.check_fields(text, text, jsonb, text) IS 'Checks what stands in wa.outbound.content (target content) or wa.session_job.args (target args) for a kind, and gives it back as it is kept. Errors WA032 and WA034 name the field and what is accepted.';

-- With its owner's rights: whoever may send may put media here, and change none.
CREATE OR REPLACE FUNCTION wa.add_media(session text, data bytea, mime text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    of_session CONSTANT bigint := wa.session_id(add_media.session);
    added      bigint;
BEGIN
    PERFORM wa.must_send();
    IF coalesce(octet_length(add_media.data), 0) NOT BETWEEN 1 AND 67108864 THEN
        RAISE EXCEPTION 'data: % bytes are too few or too many', coalesce(octet_length(add_media.data), 0)
            USING ERRCODE = 'WA035', COLUMN = 'data', HINT = 'Accepted: 1 to 67108864 bytes; for more, a large object or a file in the media store.';
    ELSIF length(add_media.mime) NOT BETWEEN 3 AND 255 THEN
        RAISE EXCEPTION 'mime: "%" is not a type', left(add_media.mime, 80)
            USING ERRCODE = 'WA035', COLUMN = 'mime', HINT = 'Accepted: a media type such as application/pdf, or leave it out.';
    END IF;
    -- Its age counts from when it was last put here, so that retention leaves it for a message that is yet to come.
    INSERT INTO wa.media AS m (tenant, sha256, size, mime, data)
    SELECT s.tenant, sha256(add_media.data), octet_length(add_media.data), add_media.mime, add_media.data
    FROM wa.session s WHERE s.session_id = of_session
    ON CONFLICT (tenant, sha256) DO UPDATE SET created_at = now() WHERE m.created_at < now() - interval '1 hour'
    RETURNING m.media_id INTO added;
    IF added IS NULL THEN
        SELECT m.media_id INTO added FROM wa.media m JOIN wa.session s USING (tenant)
        WHERE s.session_id = of_session AND m.sha256 = sha256(add_media.data);
    END IF;
    RETURN added;
END $$;
COMMENT ON FUNCTION wa.add_media(text, bytea, text) IS 'Puts media into wa.media, for the sessions of the session''s tenant, and returns its media_id; of what is there already, the id that it has. SELECT wa.send_image(''shop'', ''+79001234567'', media => wa.add_media(''shop'', pg_read_binary_file(''/srv/may.jpg'')));';

CREATE OR REPLACE FUNCTION wa.check_media(session text, content jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    sources CONSTANT text[] := ARRAY(SELECT s FROM unnest('{url,data,media,large_object,file}'::text[]) s WHERE check_media.content ? s);
    named   CONSTANT bigint := CASE WHEN sources[1] IN ('media', 'large_object') THEN check_media.content ->> sources[1] END;
BEGIN
    IF cardinality(sources) <> 1 THEN
        RAISE EXCEPTION 'content.%: %', coalesce(sources[2], 'url'), CASE cardinality(sources) WHEN 0 THEN 'missing; there is nothing to send' ELSE 'one too many beside ' || sources[1] END
            USING ERRCODE = 'WA032', COLUMN = 'content', HINT = 'Accepted: one of url, data, media, large_object, file.';
    ELSIF sources[1] = 'data' THEN
        RETURN check_media.content - 'data' || jsonb_build_object('media', wa.add_media(check_media.session, decode(check_media.content #>> '{data,data}', 'base64')));
    ELSIF sources[1] = 'media' AND NOT EXISTS (
        SELECT FROM wa.media m JOIN wa.session s USING (tenant) WHERE s.name = check_media.session AND m.media_id = named
    ) THEN
        RAISE EXCEPTION 'content.media: there is no media % for this session', named
            USING ERRCODE = 'WA032', COLUMN = 'content', HINT = 'Accepted: a media_id of wa.media, as wa.add_media returns it.';
    ELSIF sources[1] = 'large_object' THEN
        BEGIN
            -- Whoever sends it has to be allowed to read it.
            IF octet_length(lo_get(named::oid, 0, 1)) = 0 THEN
                RAISE undefined_object;
            END IF;
        EXCEPTION WHEN undefined_object OR insufficient_privilege OR numeric_value_out_of_range THEN
            RAISE EXCEPTION 'content.large_object: there is no large object % that you may read and that is not empty', named
                USING ERRCODE = 'WA032', COLUMN = 'content';
        END;
    END IF;
    RETURN check_media.content;
END $$;
COMMENT ON FUNCTION wa.check_media(text, jsonb) IS 'Checks that content names one file and that it is there; bytes in content.data go to wa.media.';

CREATE OR REPLACE FUNCTION wa.check_message(session text, kind text, chat text, body text, content jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    takes   record;
    of_kind CONSTANT text := check_message.kind;
    said    CONSTANT boolean := coalesce(check_message.body, '') <> '';
    kept    jsonb;
BEGIN
    SELECT * INTO takes FROM wa.message_kinds() k WHERE k.kind = of_kind;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'kind: % is not a kind of message', coalesce('"' || left(of_kind, 80) || '"', 'null')
            USING ERRCODE = 'WA004', COLUMN = 'kind',
                  HINT = 'Accepted: ' || (SELECT string_agg(k.kind, ', ') FROM wa.message_kinds() k) || '.';
    ELSIF said AND takes.body = 'none' THEN
        RAISE EXCEPTION 'body: a message of kind % takes none', of_kind
            USING ERRCODE = 'WA003', COLUMN = 'body', HINT = 'Leave it out; content has what this kind takes.';
    ELSIF NOT said AND takes.body = 'required' THEN
        RAISE EXCEPTION 'body: missing; a % message needs 1 to 65536 characters', of_kind
            USING ERRCODE = 'WA003', COLUMN = 'body';
    ELSIF length(check_message.body) > 65536 THEN
        RAISE EXCEPTION 'body: % characters are too many; a % message takes 1 to 65536', length(check_message.body), of_kind
            USING ERRCODE = 'WA003', COLUMN = 'body';
    END IF;
    kept := wa.check_fields('content', of_kind, check_message.content, wa.region_of(check_message.session));
    IF of_kind IN (SELECT m.kind FROM wa.media_kinds() m) THEN
        kept := wa.check_media(check_message.session, kept);
    END IF;
    IF of_kind = 'contact' AND NOT kept ?| ARRAY['phone', 'vcard'] THEN
        RAISE EXCEPTION 'content.phone: missing; a contact needs it or vcard' USING ERRCODE = 'WA032', COLUMN = 'content';
    ELSIF of_kind = 'poll' AND (kept ->> 'choices')::numeric > jsonb_array_length(kept -> 'options') THEN
        RAISE EXCEPTION 'content.choices: % are more than there are options', kept ->> 'choices' USING ERRCODE = 'WA032', COLUMN = 'content';
    ELSIF of_kind = 'read' AND check_message.chat LIKE '%@g.us' AND NOT kept ? 'sender' THEN
        RAISE EXCEPTION 'content.sender: missing; in a group it says whose messages were read' USING ERRCODE = 'WA032', COLUMN = 'content';
    ELSIF check_message.chat = 'status@broadcast' AND NOT EXISTS (SELECT FROM wa.message_fields() d WHERE d.kind = of_kind AND d.field = 'audience') THEN
        RAISE EXCEPTION 'kind: a status cannot be of kind %', of_kind USING ERRCODE = 'WA004', COLUMN = 'kind',
            HINT = 'Accepted: ' || (SELECT string_agg(d.kind, ', ') FROM wa.message_fields() d WHERE d.field = 'audience') || '.';
    ELSIF (check_message.chat = 'status@broadcast') IS DISTINCT FROM (kept ? 'audience') THEN
        RAISE EXCEPTION 'content.audience: %', CASE WHEN kept ? 'audience' THEN 'for status@broadcast alone' ELSE 'missing; a status needs it' END
            USING ERRCODE = 'WA032', COLUMN = 'content', HINT = 'Accepted: who may see the status, as an array of phone numbers or JIDs.';
    END IF;
    IF of_kind = 'poll' THEN
        -- Votes are encrypted with it, so it has to be the same at each attempt.
        kept := kept || jsonb_build_object('secret', jsonb_build_object('type', 'Buffer', 'data',
            encode(sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')), 'base64')));
    END IF;
    RETURN nullif(kept, '{}');
END $$;
COMMENT ON FUNCTION wa.check_message(text, text, text, text, jsonb) IS 'Checks kind, body and content of a new message against wa.message_kinds() and wa.message_fields(), and gives back the content as it is kept. Errors WA003, WA004, WA032 name the field and what is accepted.';

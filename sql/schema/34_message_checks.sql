-- The checks of a new message that does not take the short way of the insert trigger.

CREATE OR REPLACE FUNCTION wa.check_message(session text, kind text, chat text, body text, content jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    takes    record;
    of_kind  CONSTANT text := check_message.kind;
    has_body CONSTANT boolean := coalesce(check_message.body, '') <> '';
    kept     jsonb;
BEGIN
    SELECT * INTO takes FROM wa.message_kinds() k WHERE k.kind = of_kind;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'kind: % is not a kind of message', coalesce('"' || left(of_kind, 80) || '"', 'null')
            USING ERRCODE = 'WA004', COLUMN = 'kind',
                  HINT = 'Accepted: ' || (SELECT string_agg(k.kind, ', ') FROM wa.message_kinds() k) || '.';
    ELSIF has_body AND takes.body = 'none' THEN
        RAISE EXCEPTION 'body: a message of kind % takes none', of_kind
            USING ERRCODE = 'WA003', COLUMN = 'body', HINT = 'Leave it out; content has what this kind takes.';
    ELSIF NOT has_body AND takes.body = 'required' THEN
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
        RAISE EXCEPTION 'content.choices: % is more than the number of options', kept ->> 'choices' USING ERRCODE = 'WA032', COLUMN = 'content';
    ELSIF of_kind = 'read' AND check_message.chat LIKE '%@g.us' AND NOT kept ? 'sender' THEN
        RAISE EXCEPTION 'content.sender: missing; in a group it names whose messages were read' USING ERRCODE = 'WA032', COLUMN = 'content';
    ELSIF check_message.chat = 'status@broadcast' AND NOT EXISTS (SELECT FROM wa.message_fields() d WHERE d.kind = of_kind AND d.field = 'audience') THEN
        RAISE EXCEPTION 'kind: a status cannot be of kind %', of_kind USING ERRCODE = 'WA004', COLUMN = 'kind',
            HINT = 'Accepted: ' || (SELECT string_agg(d.kind, ', ') FROM wa.message_fields() d WHERE d.field = 'audience') || '.';
    ELSIF (check_message.chat = 'status@broadcast') IS DISTINCT FROM (kept ? 'audience') THEN
        RAISE EXCEPTION 'content.audience: %', CASE WHEN kept ? 'audience' THEN 'only status@broadcast takes it' ELSE 'missing; a status needs it' END
            USING ERRCODE = 'WA032', COLUMN = 'content', HINT = 'Accepted: who may see the status, as an array of phone numbers or JIDs.';
    END IF;
    IF of_kind = 'poll' THEN
        -- Votes are encrypted with the secret, so each attempt needs the same one.
        kept := kept || jsonb_build_object('secret', jsonb_build_object('type', 'Buffer', 'data',
            encode(sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')), 'base64')));
    END IF;
    RETURN nullif(kept, '{}');
END $$;
COMMENT ON FUNCTION wa.check_message(text, text, text, text, jsonb) IS 'Checks kind, body and content of a new message against wa.message_kinds() and wa.message_fields(), and returns the content as it is kept. Errors WA003, WA004, WA032 name the field and what is accepted.';

CREATE OR REPLACE FUNCTION wa.check_outbound_orders(o wa.outbound) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF o.priority IS NULL OR o.priority NOT BETWEEN -100 AND 100 THEN
        RAISE EXCEPTION 'priority: % is out of range', coalesce(o.priority::text, 'null')
            USING ERRCODE = 'WA011', COLUMN = 'priority', HINT = 'Accepted: -100 to 100; larger goes first.';
    ELSIF o.max_attempts IS NULL OR o.max_attempts NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'max_attempts: % is out of range', coalesce(o.max_attempts::text, 'null')
            USING ERRCODE = 'WA011', COLUMN = 'max_attempts', HINT = 'Accepted: 1 to 1000.';
    ELSIF NOT wa.is_moment(o.send_at) THEN
        RAISE EXCEPTION 'send_at: % is out of range', o.send_at
            USING ERRCODE = 'WA011', COLUMN = 'send_at', HINT = 'Accepted: a moment before the year 3000; leave it out to send at once. wa.pause holds a session back.';
    ELSIF NOT wa.is_moment(o.expires_at) THEN
        RAISE EXCEPTION 'expires_at: % is out of range', o.expires_at
            USING ERRCODE = 'WA011', COLUMN = 'expires_at', HINT = 'Accepted: a moment before the year 3000; leave it out for a message that never expires.';
    ELSIF o.expires_at <= coalesce(o.send_at, now()) THEN
        RAISE EXCEPTION 'expires_at: % is not after %', o.expires_at, coalesce('send_at, ' || o.send_at, 'now')
            USING ERRCODE = 'WA011', COLUMN = 'expires_at', HINT = 'Accepted: a moment after send_at and after now.';
    ELSIF octet_length(o.dedupe_key) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'dedupe_key: % bytes are out of range', octet_length(o.dedupe_key)
            USING ERRCODE = 'WA011', COLUMN = 'dedupe_key', HINT = 'Accepted: 1 to 255 bytes, or leave it out.';
    ELSIF octet_length(o.campaign) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'campaign: % bytes are out of range', octet_length(o.campaign)
            USING ERRCODE = 'WA011', COLUMN = 'campaign', HINT = 'Accepted: 1 to 255 bytes, or leave it out.';
    END IF;
END $$;
COMMENT ON FUNCTION wa.check_outbound_orders(wa.outbound) IS 'Checks priority, max_attempts, send_at, expires_at, dedupe_key and campaign of a new message; error WA011 names the column and what is accepted.';

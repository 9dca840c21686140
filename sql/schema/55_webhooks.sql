-- Webhooks (H5): adding, changing, disabling, and what they may be told. 56_deliveries.sql feeds them.

CREATE OR REPLACE FUNCTION wa.webhook_type(kind text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT regexp_replace(kind, '_', '.') $$;
COMMENT ON FUNCTION wa.webhook_type(text) IS 'The type of a webhook''s event for a kind of wa.event: session_connected is session.connected.';

CREATE OR REPLACE FUNCTION wa.webhook_types() RETURNS TABLE (type text, about text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES ('message.received', 'A message is in wa.inbox.'),
           ('message.status', 'A message of wa.outbound was sent, delivered, read, played, or has failed, expired or been cancelled.'),
           ('test', 'Somebody called wa.test_webhook. Every webhook gets its own, whatever its kinds.')
    UNION ALL
    SELECT wa.webhook_type(k), e.about FROM wa.event_kinds() e, unnest(string_to_array(e.kind, ', ')) k
$$;
COMMENT ON FUNCTION wa.webhook_types() IS 'The types of events that webhooks get. SELECT type FROM wa.webhook_types();';

-- Names are unique among webhooks of the same tenants, as those of consumers are.
CREATE OR REPLACE FUNCTION wa.webhook_id(name text) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    own   CONSTANT text[] := wa.consumer_tenants();
    found bigint[];
    exact boolean;
BEGIN
    SELECT array_agg(w.webhook_id ORDER BY w.tenants IS NOT DISTINCT FROM own DESC), bool_or(w.tenants IS NOT DISTINCT FROM own) INTO found, exact
    FROM wa.webhook w
    WHERE w.name = webhook_id.name AND (own IS NULL OR w.tenants <@ own);
    IF found IS NULL THEN
        RAISE EXCEPTION 'name: no webhook is named %', coalesce('"' || left(webhook_id.name, 80) || '"', 'null')
            USING ERRCODE = 'WA054', COLUMN = 'name', HINT = 'Accepted: a name in wa.webhooks; SELECT wa.add_webhook(…) adds one.';
    ELSIF cardinality(found) > 1 AND NOT exact THEN
        RAISE EXCEPTION 'name: % webhooks of several tenants are named "%"', cardinality(found), left(webhook_id.name, 80)
            USING ERRCODE = 'WA054', COLUMN = 'name', HINT = 'Accepted: a name that one webhook has among those of your tenants; call this as a role of the one tenant.';
    END IF;
    RETURN found[1];
END $$;
COMMENT ON FUNCTION wa.webhook_id(text) IS 'The number of the webhook with this name that the caller sees; error WA054 without one.';

-- As the program that posts reads a host: one that ends with a number is an IPv4 address of one to four numbers, the last
-- of which fills the rest of its 32 bits, in decimal, octal or hexadecimal digits. It finds by itself whatever else is wrong.
CREATE OR REPLACE FUNCTION wa.is_host(host text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    labels CONSTANT text[] := string_to_array(regexp_replace(lower(host), '\.$', ''), '.');
    many   CONSTANT integer := cardinality(labels);
    digits text;
    base   integer;
    value  numeric;
BEGIN
    IF host LIKE '[%' THEN
        RETURN family(btrim(host, '[]')::inet) = 6;
    ELSIF host ~ '^\.*$' OR 'xn--' = ANY (labels) THEN
        RETURN false;
    ELSIF labels[many] !~ '^([0-9]+|0x[0-9a-f]*)$' THEN
        RETURN true;
    END IF;
    FOR n IN 1 .. many LOOP
        base := CASE WHEN labels[n] LIKE '0x%' THEN 16 WHEN labels[n] ~ '^0.' THEN 8 ELSE 10 END;
        digits := ltrim(CASE base WHEN 16 THEN substr(labels[n], 3) ELSE labels[n] END, '0');
        IF labels[n] = '' OR length(digits) > 11
           OR digits !~ (CASE base WHEN 16 THEN '^[0-9a-f]*$' WHEN 8 THEN '^[0-7]*$' ELSE '^[0-9]*$' END) THEN
            RETURN false;
        END IF;
        SELECT coalesce(sum((strpos('0123456789abcdef', substr(digits, i, 1)) - 1) * base::numeric ^ (length(digits) - i)), 0) INTO value
        FROM generate_series(1, length(digits)) i;
        IF value >= 256::numeric ^ (CASE WHEN n = many THEN 5 - many ELSE 1 END) THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN many <= 4;
EXCEPTION WHEN invalid_text_representation THEN
    RETURN false;
END $$;
COMMENT ON FUNCTION wa.is_host(text) IS 'Whether a host of a URL, a name or an address, can be read as one; an IPv6 address has brackets.';

-- The error does not repeat the address or the headers, which may hold a password.
CREATE OR REPLACE FUNCTION wa.check_webhook(url text, kinds text[], lanes text, format text, batch_size integer, batch_wait interval, headers jsonb) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    types   CONSTANT text[] := ARRAY(SELECT t.type FROM wa.webhook_types() t);
    unknown text;
    name    text;
    value   jsonb;
BEGIN
    IF url IS NULL OR length(url) > 2000
       OR url !~ '^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][!-"$-~]*)?$'
       OR coalesce(substring(url FROM '^https?://[^/?]*:([0-9]+)([/?]|$)')::integer, 1) NOT BETWEEN 1 AND 65535
       OR NOT wa.is_host(substring(url FROM '^https?://(\[[^]]*\]|[^/?:]*)')) THEN
        RAISE EXCEPTION 'url: not an address that a webhook can have'
            USING ERRCODE = 'WA055', COLUMN = 'url', HINT = 'Accepted: http:// or https://, a host, a port, path and query if needed, 2000 characters; no user and password (put them into headers), and no #.';
    END IF;
    SELECT k INTO unknown FROM unnest(kinds) k
    WHERE k IS NULL OR k <> '*' AND k <> ALL (types) AND NOT (k LIKE '%.*' AND EXISTS (SELECT FROM unnest(types) t WHERE starts_with(t, rtrim(k, '*'))))
    LIMIT 1;
    IF FOUND OR coalesce(cardinality(kinds), 0) NOT BETWEEN 1 AND 100 THEN
        RAISE EXCEPTION 'kinds: %', CASE WHEN coalesce(cardinality(kinds), 0) BETWEEN 1 AND 100 THEN coalesce('"' || left(unknown, 80) || '"', 'null') || ' is not a type of events' ELSE 'a webhook needs 1 to 100 of them' END
            USING ERRCODE = 'WA055', COLUMN = 'kinds', HINT = 'Accepted: * for all, a beginning such as session.*, or one of ' || array_to_string(types, ', ') || '.';
    ELSIF lanes IS NULL OR lanes NOT IN ('chat', 'none') THEN
        RAISE EXCEPTION 'lanes: % is not accepted', coalesce('"' || left(lanes, 80) || '"', 'null')
            USING ERRCODE = 'WA055', COLUMN = 'lanes', HINT = 'Accepted: chat (events of one chat in their order) or none.';
    ELSIF format IS NULL OR format NOT IN ('standard', 'cloudevents') THEN
        RAISE EXCEPTION 'format: % is not accepted', coalesce('"' || left(format, 80) || '"', 'null')
            USING ERRCODE = 'WA055', COLUMN = 'format', HINT = 'Accepted: standard or cloudevents.';
    ELSIF batch_size IS NULL OR batch_size NOT BETWEEN 1 AND 100 THEN
        RAISE EXCEPTION 'batch_size: % is out of range', coalesce(batch_size::text, 'null')
            USING ERRCODE = 'WA055', COLUMN = 'batch_size', HINT = 'Accepted: 1 to 100 events; 1 sends each by itself.';
    ELSIF batch_wait IS NULL OR batch_wait NOT BETWEEN interval '0' AND interval '1 minute' THEN
        RAISE EXCEPTION 'batch_wait: % is out of range', coalesce(batch_wait::text, 'null')
            USING ERRCODE = 'WA055', COLUMN = 'batch_wait', HINT = 'Accepted: 0 to 1 minute.';
    ELSIF headers IS NULL THEN
        RETURN;
    ELSIF jsonb_typeof(headers) <> 'object' OR (SELECT count(*) FROM jsonb_object_keys(headers)) > 20 THEN
        RAISE EXCEPTION 'headers: not a JSON object of at most 20 headers'
            USING ERRCODE = 'WA055', COLUMN = 'headers', HINT = 'Accepted: an object such as {"Authorization": "Bearer …"}.';
    END IF;
    FOR name, value IN SELECT h.key, h.value FROM jsonb_each(headers) h LOOP
        IF name !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]{1,100}$' OR name ~* '^(webhook-.*|ce-.*|host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|proxy-.*)$'
           OR jsonb_typeof(value) <> 'string' OR length(value #>> '{}') > 4000 OR value #>> '{}' !~ '^[ -~]*$' OR value #>> '{}' ~ '^ | $' THEN
            RAISE EXCEPTION 'headers: "%" is not a header that a webhook can have', left(name, 80)
                USING ERRCODE = 'WA055', COLUMN = 'headers', HINT = 'Accepted: names of 1 to 100 letters, digits and hyphens that neither HTTP nor the signature needs, and values of at most 4000 printable ASCII characters.';
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION wa.check_webhook(text, text[], text, text, integer, interval, jsonb) IS 'Refuses settings that a webhook cannot have; error WA055 names the argument.';

CREATE OR REPLACE FUNCTION wa.put_webhook_secret(webhook_id bigint, purpose text, secret text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO wa.webhook_secret (webhook_id, purpose, value)
    VALUES (webhook_id, purpose, jsonb_build_object('type', 'Buffer', 'data', translate(encode(convert_to(secret, 'UTF8'), 'base64'), E'\n', '')))
$$;
COMMENT ON FUNCTION wa.put_webhook_secret(bigint, text, text) IS 'Keeps a secret of a webhook; a worker encrypts it when it first uses it.';

CREATE OR REPLACE FUNCTION wa.new_signing_secret() RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'whsec_' || encode(decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'), 'base64')
$$;
COMMENT ON FUNCTION wa.new_signing_secret() IS 'A new secret of Standard Webhooks: whsec_ and 32 bytes in base64.';

CREATE OR REPLACE FUNCTION wa.webhook_sessions(sessions text[]) RETURNS bigint[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF cardinality(sessions) > 1000 THEN
        RAISE EXCEPTION 'sessions: % are too many', cardinality(sessions)
            USING ERRCODE = 'WA055', COLUMN = 'sessions', HINT = 'Accepted: up to 1000 names of sessions; none are all sessions.';
    END IF;
    RETURN (SELECT array_agg(DISTINCT wa.session_id(s) ORDER BY wa.session_id(s)) FROM unnest(sessions) s WHERE s IS NOT NULL);
END $$;
COMMENT ON FUNCTION wa.webhook_sessions(text[]) IS 'The numbers of the sessions with these names, for wa.webhook.session_ids; null without one.';

CREATE OR REPLACE FUNCTION wa.session_leaves_webhooks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- As for wa.inbox_consumed.
    IF TG_RELID <> 'wa.session'::regclass THEN
        RAISE EXCEPTION 'wa.session_leaves_webhooks is the trigger of wa.session alone' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- One for no session would be one for all.
    DELETE FROM wa.webhook w WHERE w.session_ids = ARRAY[OLD.session_id];
    UPDATE wa.webhook w SET session_ids = array_remove(w.session_ids, OLD.session_id) WHERE w.session_ids @> ARRAY[OLD.session_id];
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.session_leaves_webhooks() IS 'Row trigger of wa.session: takes a session that is deleted from its webhooks, and drops those that were for it alone.';
CREATE OR REPLACE TRIGGER leaves_webhooks AFTER DELETE ON wa.session
    FOR EACH ROW EXECUTE FUNCTION wa.session_leaves_webhooks();

CREATE OR REPLACE FUNCTION wa.add_webhook(
    name text, url text, kinds text[] DEFAULT '{message.received,message.status}', session text DEFAULT NULL, lanes text DEFAULT 'chat',
    format text DEFAULT 'standard', batch_size integer DEFAULT 1, batch_wait interval DEFAULT '1 second', headers jsonb DEFAULT '{}', since timestamptz DEFAULT NULL,
    sessions text[] DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    secret      CONSTANT text := wa.new_signing_secret();
    of_sessions bigint[];
    made        bigint;
BEGIN
    PERFORM wa.must_send();
    IF coalesce(add_webhook.name !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$', true) THEN
        RAISE EXCEPTION 'name: % is not the name of a webhook', coalesce('"' || left(add_webhook.name, 80) || '"', 'null')
            USING ERRCODE = 'WA054', COLUMN = 'name', HINT = 'Accepted: 1 to 63 of letters, digits, dot, underscore, hyphen; a letter or digit first.';
    END IF;
    PERFORM wa.check_webhook(add_webhook.url, add_webhook.kinds, add_webhook.lanes, add_webhook.format, add_webhook.batch_size, add_webhook.batch_wait, add_webhook.headers);
    of_sessions := wa.webhook_sessions(array_append(add_webhook.sessions, add_webhook.session));
    -- Each event is offered to all webhooks of its tenant.
    IF (SELECT count(*) FROM wa.webhook w WHERE w.tenants && wa.consumer_tenants() OR wa.consumer_tenants() IS NULL AND w.tenants IS NULL) >= 100 THEN
        RAISE EXCEPTION 'name: there are 100 webhooks already'
            USING ERRCODE = 'WA054', COLUMN = 'name', HINT = 'Accepted: up to 100 webhooks for a tenant, and 100 for all tenants; SELECT wa.drop_webhook(…) deletes one.';
    END IF;
    INSERT INTO wa.webhook (name, session_ids, tenants, url, kinds, lanes, format, batch_size, batch_wait, header_names)
    VALUES (add_webhook.name, of_sessions, wa.consumer_tenants(), add_webhook.url, add_webhook.kinds, add_webhook.lanes, add_webhook.format,
            add_webhook.batch_size, add_webhook.batch_wait, ARRAY(SELECT jsonb_object_keys(coalesce(add_webhook.headers, '{}'))))
    ON CONFLICT (name, hash_array_extended(tenants, 0)) DO NOTHING
    RETURNING webhook_id INTO made;
    IF made IS NULL THEN
        RAISE EXCEPTION 'name: a webhook "%" exists already', add_webhook.name USING ERRCODE = 'WA054', COLUMN = 'name',
            HINT = 'wa.alter_webhook changes it; wa.rotate_webhook gives it another secret; wa.drop_webhook deletes it.';
    END IF;
    PERFORM wa.put_webhook_secret(made, 'signing', secret);
    IF coalesce(add_webhook.headers, '{}') <> '{}' THEN
        PERFORM wa.put_webhook_secret(made, 'headers', add_webhook.headers::text);
    END IF;
    IF add_webhook.since IS NOT NULL THEN
        PERFORM wa.replay_webhook(add_webhook.name, add_webhook.since);
    END IF;
    PERFORM pg_notify('wa_work', 'webhook_settings');
    RETURN secret;
END $$;
COMMENT ON FUNCTION wa.add_webhook(text, text, text[], text, text, text, integer, interval, jsonb, timestamptz, text[]) IS 'Adds a webhook for all that the caller sees, for one session or for several, and returns its secret, which is shown only now. It gets what is stored from now on; with since also what is there since that moment. Each tenant may have a webhook of the same name. SELECT wa.add_webhook(''crm'', ''https://example.org/hook'', kinds => ''{message.received,message.status}'', session => ''shop'');';

CREATE OR REPLACE FUNCTION wa.alter_webhook(
    name text, url text DEFAULT NULL, kinds text[] DEFAULT NULL, lanes text DEFAULT NULL, format text DEFAULT NULL,
    batch_size integer DEFAULT NULL, batch_wait interval DEFAULT NULL, headers jsonb DEFAULT NULL, sessions text[] DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    found CONSTANT bigint := wa.webhook_id(alter_webhook.name);
    w     wa.webhook;
BEGIN
    PERFORM wa.must_send();
    SELECT * INTO w FROM wa.webhook h WHERE h.webhook_id = found FOR UPDATE;
    IF alter_webhook.sessions IS NOT NULL THEN
        w.session_ids := wa.webhook_sessions(alter_webhook.sessions);
    END IF;
    w.url := coalesce(alter_webhook.url, w.url);
    w.kinds := coalesce(alter_webhook.kinds, w.kinds);
    w.lanes := coalesce(alter_webhook.lanes, w.lanes);
    w.format := coalesce(alter_webhook.format, w.format);
    w.batch_size := coalesce(alter_webhook.batch_size, w.batch_size);
    w.batch_wait := coalesce(alter_webhook.batch_wait, w.batch_wait);
    PERFORM wa.check_webhook(w.url, w.kinds, w.lanes, w.format, w.batch_size, w.batch_wait, alter_webhook.headers);
    IF alter_webhook.headers IS NOT NULL THEN
        w.header_names := ARRAY(SELECT jsonb_object_keys(alter_webhook.headers));
        DELETE FROM wa.webhook_secret s WHERE s.webhook_id = found AND s.purpose = 'headers';
        IF alter_webhook.headers <> '{}' THEN
            PERFORM wa.put_webhook_secret(found, 'headers', alter_webhook.headers::text);
        END IF;
    END IF;
    UPDATE wa.webhook h
    SET session_ids = w.session_ids, url = w.url, kinds = w.kinds, lanes = w.lanes, format = w.format, batch_size = w.batch_size, batch_wait = w.batch_wait, header_names = w.header_names
    WHERE h.webhook_id = found;
    PERFORM pg_notify('wa_work', 'webhook_settings');
END $$;
COMMENT ON FUNCTION wa.alter_webhook(text, text, text[], text, text, integer, interval, jsonb, text[]) IS 'Changes settings of a webhook; what is omitted stays. Headers and sessions are replaced whole: no headers with {}, all sessions with {}. SELECT wa.alter_webhook(''crm'', url => ''https://example.org/new'');';

CREATE OR REPLACE FUNCTION wa.rotate_webhook(name text, overlap interval DEFAULT '24 hours') RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    found  CONSTANT bigint := wa.webhook_id(rotate_webhook.name);
    secret CONSTANT text := wa.new_signing_secret();
    last   bigint;
BEGIN
    PERFORM wa.must_send();
    IF overlap IS NULL OR overlap NOT BETWEEN interval '0' AND interval '30 days' THEN
        RAISE EXCEPTION 'overlap: % is out of range', coalesce(overlap::text, 'null')
            USING ERRCODE = 'WA055', COLUMN = 'overlap', HINT = 'Accepted: 0 to 30 days.';
    END IF;
    PERFORM FROM wa.webhook w WHERE w.webhook_id = found FOR UPDATE;
    SELECT max(s.secret_id) INTO last FROM wa.webhook_secret s WHERE s.webhook_id = found AND s.purpose = 'signing';
    -- Two at most are valid at once.
    DELETE FROM wa.webhook_secret s WHERE s.webhook_id = found AND s.purpose = 'signing' AND (s.secret_id <> last OR overlap = interval '0');
    UPDATE wa.webhook_secret s SET expires_at = clock_timestamp() + overlap WHERE s.secret_id = last;
    PERFORM wa.put_webhook_secret(found, 'signing', secret);
    PERFORM pg_notify('wa_work', 'webhook_settings');
    RETURN secret;
END $$;
COMMENT ON FUNCTION wa.rotate_webhook(text, interval) IS 'Gives a webhook another secret and returns it, which is shown only now. Until overlap has passed, requests have the signatures of both. SELECT wa.rotate_webhook(''crm'');';

CREATE OR REPLACE FUNCTION wa.is_disabled(webhook wa.webhook) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT webhook.disabled_at IS NOT NULL
        OR EXISTS (SELECT FROM wa.webhook_lease l WHERE l.webhook_id = webhook.webhook_id AND l.disabled_at > webhook.enabled_at)
$$;
COMMENT ON FUNCTION wa.is_disabled(wa.webhook) IS 'Whether wa.disable_webhook or a worker has disabled a webhook since it was last enabled.';

CREATE OR REPLACE FUNCTION wa.disable_webhook(name text, reason text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE own_id bigint;
BEGIN
    PERFORM wa.must_send();
    own_id := wa.webhook_id(disable_webhook.name);
    UPDATE wa.webhook w SET disabled_at = coalesce(w.disabled_at, clock_timestamp()), disabled_reason = left(disable_webhook.reason, 1000)
    WHERE w.webhook_id = own_id;
    PERFORM pg_notify('wa_work', 'webhook_settings');
END $$;
COMMENT ON FUNCTION wa.disable_webhook(text, text) IS 'Disables a webhook: nothing is delivered, and what happens meanwhile is not kept for it. SELECT wa.disable_webhook(''crm'', ''moving'');';

CREATE OR REPLACE FUNCTION wa.enable_webhook(name text, since timestamptz DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE own_id bigint;
BEGIN
    PERFORM wa.must_send();
    own_id := wa.webhook_id(enable_webhook.name);
    -- One that is enabled keeps what it has seen, because messages may still be missing.
    UPDATE wa.webhook w SET disabled_at = NULL, disabled_reason = NULL, enabled_at = clock_timestamp(), seen = pg_current_snapshot()
    WHERE w.webhook_id = own_id AND wa.is_disabled(w);
    IF enable_webhook.since IS NOT NULL THEN
        PERFORM wa.replay_webhook(enable_webhook.name, enable_webhook.since);
    END IF;
    PERFORM pg_notify('wa_work', 'webhook_settings');
END $$;
COMMENT ON FUNCTION wa.enable_webhook(text, timestamptz) IS 'Enables a webhook, whoever disabled it. What was queued is delivered; with since also what has happened since that moment. SELECT wa.enable_webhook(''crm'', since => now() - interval ''1 hour'');';

CREATE OR REPLACE FUNCTION wa.replay_webhook(name text, since timestamptz, until timestamptz DEFAULT NULL, only_dead boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE own_id bigint;
BEGIN
    PERFORM wa.must_send();
    IF replay_webhook.since IS NULL OR replay_webhook.since >= coalesce(replay_webhook.until, 'infinity') THEN
        RAISE EXCEPTION 'since: % is not accepted', coalesce(replay_webhook.since::text, 'null')
            USING ERRCODE = 'WA055', COLUMN = 'since', HINT = 'Accepted: a moment before until.';
    ELSIF only_dead IS NULL THEN
        RAISE EXCEPTION 'only_dead: null is not accepted'
            USING ERRCODE = 'WA055', COLUMN = 'only_dead', HINT = 'Accepted: true or false.';
    END IF;
    own_id := wa.webhook_id(replay_webhook.name);
    -- Each is some work for the worker, and one covers another.
    IF (SELECT count(*) FROM wa.webhook_replay r WHERE r.webhook_id = own_id) >= 10 THEN
        RAISE EXCEPTION 'name: 10 replays of the webhook "%" are not done yet', left(replay_webhook.name, 80)
            USING ERRCODE = 'WA055', COLUMN = 'name', HINT = 'Accepted: up to 10 at a time; a webhook that is disabled does none.';
    END IF;
    INSERT INTO wa.webhook_replay (webhook_id, since, until, only_dead)
    VALUES (own_id, greatest(replay_webhook.since, '2000-01-01 00:00Z'), least(replay_webhook.until, clock_timestamp()), only_dead);
    PERFORM pg_notify('wa_work', 'webhook_settings');
END $$;
COMMENT ON FUNCTION wa.replay_webhook(text, timestamptz, timestamptz, boolean) IS 'Delivers again what has happened since a moment, under the same ids; with only_dead only what is dead. A worker does it soon; wa.webhook_replay lists what is not done yet. SELECT wa.replay_webhook(''crm'', since => now() - interval ''1 day'', only_dead => true);';

CREATE OR REPLACE FUNCTION wa.test_webhook(name text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found CONSTANT bigint := wa.webhook_id(test_webhook.name);
    id    CONSTANT text := 'test_' || gen_random_uuid();
BEGIN
    PERFORM wa.must_send();
    IF (SELECT wa.is_disabled(w) FROM wa.webhook w WHERE w.webhook_id = found) THEN
        RAISE EXCEPTION 'name: the webhook "%" is disabled', left(test_webhook.name, 80)
            USING ERRCODE = 'WA054', COLUMN = 'name', HINT = format('SELECT wa.enable_webhook(%L) enables it.', test_webhook.name);
    END IF;
    INSERT INTO wa.delivery (webhook_id, event_id, type, source, happened_at, data)
    VALUES (found, id, 'test', 'test', clock_timestamp(), jsonb_build_object('webhook', test_webhook.name));
    PERFORM pg_notify('wa_work', 'webhooks');
    RETURN id;
END $$;
COMMENT ON FUNCTION wa.test_webhook(text) IS 'Sends a test to a webhook, and returns its webhook-id; wa.delivery.event_id shows what became of it. SELECT wa.test_webhook(''crm'');';

CREATE OR REPLACE FUNCTION wa.drop_webhook(name text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE own_id bigint;
BEGIN
    PERFORM wa.must_send();
    own_id := wa.webhook_id(drop_webhook.name);
    -- What it had yet to be told is deleted by retention, in batches.
    DELETE FROM wa.webhook w WHERE w.webhook_id = own_id;
    PERFORM pg_notify('wa_work', 'webhook_settings');
END $$;
COMMENT ON FUNCTION wa.drop_webhook(text) IS 'Deletes a webhook and its secrets. SELECT wa.drop_webhook(''crm'');';

CREATE OR REPLACE VIEW wa.webhooks WITH (security_invoker = true) AS
SELECT w.webhook_id, w.name,
       CASE WHEN w.session_ids IS NOT NULL THEN ARRAY(SELECT s.name FROM wa.session s WHERE s.session_id = ANY (w.session_ids) ORDER BY s.name) END AS sessions,
       w.tenants, w.url, w.kinds, w.lanes, w.format, w.batch_size, w.batch_wait, w.header_names,
       CASE WHEN w.disabled_at IS NOT NULL OR l.disabled_at > w.enabled_at THEN 'disabled'
            WHEN l.open_until IS NOT NULL THEN 'failing' ELSE 'enabled' END AS status,
       coalesce(w.disabled_at, CASE WHEN l.disabled_at > w.enabled_at THEN l.disabled_at END) AS disabled_at,
       CASE WHEN w.disabled_at IS NOT NULL THEN w.disabled_reason WHEN l.disabled_at > w.enabled_at THEN l.disabled_reason END AS disabled_reason,
       queued.count AS queued, dead.count AS dead, oldest.happened_at AS oldest,
       coalesce(l.failures, 0) AS failures, l.failing_since, l.open_until AS next_probe, l.last_code, l.last_error, l.attempted_at, l.delivered_at, w.created_at
FROM wa.webhook w
LEFT JOIN wa.webhook_lease l ON l.webhook_id = w.webhook_id
CROSS JOIN LATERAL (
    SELECT count(*) FROM (
        (SELECT FROM wa.delivery d WHERE d.webhook_id = w.webhook_id AND d.status = 'queued' AND d.attempts = 0 LIMIT 10000)
        UNION ALL (SELECT FROM wa.delivery d WHERE d.webhook_id = w.webhook_id AND d.status = 'queued' AND d.attempts > 0 LIMIT 10000)
        UNION ALL (SELECT FROM wa.delivery d WHERE d.webhook_id = w.webhook_id AND d.status = 'waiting' LIMIT 10000)
    ) counted
) queued
CROSS JOIN LATERAL (
    SELECT count(*) FROM (SELECT FROM wa.delivery d WHERE d.webhook_id = w.webhook_id AND d.status = 'dead' LIMIT 10000) counted
) dead
CROSS JOIN LATERAL (
    SELECT min(first.happened_at) AS happened_at FROM (
        (SELECT d.happened_at FROM wa.delivery d WHERE d.webhook_id = w.webhook_id AND d.status = 'queued' AND d.attempts = 0 ORDER BY d.id LIMIT 1)
        UNION ALL (SELECT d.happened_at FROM wa.delivery d WHERE d.webhook_id = w.webhook_id AND d.status = 'queued' AND d.attempts > 0 ORDER BY d.run_at, d.id LIMIT 1)
    ) first
) oldest;
COMMENT ON VIEW wa.webhooks IS 'Webhooks, the backlog of each, and how its receiver answers.';
COMMENT ON COLUMN wa.webhooks.webhook_id IS 'Number of the webhook, for wa.delivery and wa.webhook_numbers.';
COMMENT ON COLUMN wa.webhooks.name IS 'Name of the webhook.';
COMMENT ON COLUMN wa.webhooks.sessions IS 'The sessions whose events it gets; null is all.';
COMMENT ON COLUMN wa.webhooks.tenants IS 'Tenants whose events it gets; null is all.';
COMMENT ON COLUMN wa.webhooks.url IS 'Address that events are posted to.';
COMMENT ON COLUMN wa.webhooks.kinds IS 'Types of events that it gets.';
COMMENT ON COLUMN wa.webhooks.lanes IS 'chat or none, as in wa.webhook.';
COMMENT ON COLUMN wa.webhooks.format IS 'standard or cloudevents.';
COMMENT ON COLUMN wa.webhooks.batch_size IS 'Most events in one request.';
COMMENT ON COLUMN wa.webhooks.batch_wait IS 'How long an event waits for others to share its request.';
COMMENT ON COLUMN wa.webhooks.header_names IS 'Names of your own headers.';
COMMENT ON COLUMN wa.webhooks.status IS 'enabled, failing (one delivery at a time is tried, see next_probe) or disabled.';
COMMENT ON COLUMN wa.webhooks.disabled_at IS 'Since when it is disabled; null is not.';
COMMENT ON COLUMN wa.webhooks.disabled_reason IS 'Why.';
COMMENT ON COLUMN wa.webhooks.queued IS 'Events that it has yet to be told; counted up to 10000 of each: new, to be retried, waiting behind those.';
COMMENT ON COLUMN wa.webhooks.dead IS 'Deliveries that are out of attempts; counted up to 10000.';
COMMENT ON COLUMN wa.webhooks.oldest IS 'When the first of those in queued happened.';
COMMENT ON COLUMN wa.webhooks.failures IS 'Failed attempts in a row.';
COMMENT ON COLUMN wa.webhooks.failing_since IS 'The first of them.';
COMMENT ON COLUMN wa.webhooks.next_probe IS 'When the next delivery is tried, while it is failing.';
COMMENT ON COLUMN wa.webhooks.last_code IS 'HTTP status of the last failure; null if there was no answer.';
COMMENT ON COLUMN wa.webhooks.last_error IS 'The last failure, in words.';
COMMENT ON COLUMN wa.webhooks.attempted_at IS 'The last attempt.';
COMMENT ON COLUMN wa.webhooks.delivered_at IS 'The last success.';
COMMENT ON COLUMN wa.webhooks.created_at IS 'When it was added.';

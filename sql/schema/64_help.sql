-- A manual that fits a terminal (H10), made from the catalog, the comments and the lists of this schema. Only what the
-- caller may call, read or get is shown.

CREATE OR REPLACE FUNCTION wa.wrapped(words text, first text, later text) RETURNS SETOF text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    width CONSTANT integer := 80;
    line  text := first;
    blank boolean := true;
    word  text;
BEGIN
    FOREACH word IN ARRAY string_to_array(coalesce(words, ''), ' ') LOOP
        IF NOT blank AND length(line) + 1 + length(word) > width THEN
            RETURN NEXT line;
            line := later;
            blank := true;
        END IF;
        line := line || CASE WHEN blank THEN '' ELSE ' ' END || word;
        blank := false;
    END LOOP;
    RETURN NEXT rtrim(line);
END $$;
COMMENT ON FUNCTION wa.wrapped(text, text, text) IS 'Words in lines of 80 characters; the first line begins with first, the others with later.';

CREATE OR REPLACE FUNCTION wa.help_subjects() RETURNS TABLE (subject text, about text, functions text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ VALUES
    ('sending', 'Messages. INSERT INTO wa.outbound (session, recipient, body) does it, too.',
     ARRAY(SELECT 'send_' || k.kind FROM wa.message_kinds() k) || '{send,cancel,cancel_all,retry,retry_failed,cancel_retry,why,add_media,phone,render,outbound_id}'::text[]),
    ('campaigns', 'Messages that belong together, and how fast a session sends.',
     '{pause_campaign,resume_campaign,cancel_campaign,pause_campaigns,resume_campaigns,cancel_campaigns,campaign_numbers,pause,resume,set_pacing,clear_pacing}'),
    ('reading', 'Received messages, their files, the history.',
     '{add_consumer,claim_messages,acknowledge_messages,rewind_consumer,drop_consumer,download,add_download_rule,remove_download_rule,chat_history,search}'),
    ('sessions', 'Devices: one session is one linked device.',
     '{add_session,link,link_url,revoke_link,connect,close,logout,answer_passkey,confirm_passkey,refuse_passkey,set_proxy,set_region,set_crypto_limits,keep_past,restore_auth,reasons,stuck,next_statuses,retry_session_job,cancel_session_job}'),
    ('actions', 'Groups, contacts and the profile, as jobs of a session.',
     ARRAY(SELECT a.kind FROM wa.actions() a WHERE a.kind <> 'download') || '{act}'::text[]),
    ('schedules', 'Jobs by cron expression.', '{schedule,enable_schedule,disable_schedule,run_now,unschedule,cron_error}'),
    ('webhooks', 'Messages, statuses and events over HTTP.',
     '{add_webhook,alter_webhook,rotate_webhook,test_webhook,disable_webhook,enable_webhook,replay_webhook,drop_webhook}'),
    ('numbers', 'What was sent, delivered and failed.', '{numbers_since,session_numbers,failures_since}'),
    ('operating', 'Tenants, workers, maintenance, tokens of the web pages.',
     '{add_tenant,grant_tenant,revoke_tenant,pause_tenant,resume_tenant,drain_worker,move_session,retry_maintenance_job,cancel_maintenance_job,restored,add_token,revoke_token,login_link,register_web,mend_queue}'),
    ('lists', 'What exists: kinds, fields, errors.',
     '{message_kinds,message_fields,actions,action_fields,event_kinds,errors,failure_classes,reason_kinds,message_reasons,reason_text,webhook_types,maintenance_kinds,function_grants,help}')
$$;
COMMENT ON FUNCTION wa.help_subjects() IS 'The subjects of wa.help() and the functions of each.';

CREATE OR REPLACE FUNCTION wa.help_names() RETURNS TABLE (name text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.proname::text FROM pg_proc p
    WHERE p.pronamespace = 'wa'::regnamespace AND has_function_privilege(p.oid, 'EXECUTE') AND p.prorettype <> 'trigger'::regtype
    UNION
    SELECT c.relname::text FROM pg_class c
    WHERE c.relnamespace = 'wa'::regnamespace AND c.relkind IN ('r', 'v', 'p') AND has_any_column_privilege(c.oid, 'SELECT')
    UNION SELECT h.subject FROM wa.help_subjects() h WHERE EXISTS (
        SELECT FROM pg_proc p WHERE p.pronamespace = 'wa'::regnamespace AND p.proname = ANY (h.functions) AND has_function_privilege(p.oid, 'EXECUTE'))
    UNION SELECT e.code FROM wa.errors() e
    UNION SELECT known.kind FROM wa.event_kinds() k, unnest(string_to_array(k.kind, ', ')) known (kind)
$$;
COMMENT ON FUNCTION wa.help_names() IS 'All that wa.help explains to the caller: functions, tables and views, subjects, SQLSTATEs, kinds of events.';

-- Nearest by shared pairs of letters, because Postgres without extensions counts no edits.
CREATE OR REPLACE FUNCTION wa.help_nearest(topic text) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH pairs (name, pair) AS (
        SELECT n.name, substr('^' || lower(n.name) || '$', i, 2) FROM wa.help_names() n, generate_series(1, length(n.name) + 1) i
    ), asked (pair) AS (
        SELECT DISTINCT substr('^' || lower(topic) || '$', i, 2) FROM generate_series(1, least(length(topic), 100) + 1) i
    ), likeness AS (
        SELECT p.name, count(DISTINCT p.pair) FILTER (WHERE p.pair IN (TABLE asked)) AS shared, count(DISTINCT p.pair) AS own
        FROM pairs p GROUP BY p.name
    )
    SELECT l.name FROM likeness l WHERE l.shared > 0
    ORDER BY l.shared::float8 / (l.own + (SELECT count(*) FROM asked) - l.shared) DESC, l.name LIMIT 5
$$;
COMMENT ON FUNCTION wa.help_nearest(text) IS 'The five names of wa.help_names that are most like a topic.';

CREATE OR REPLACE FUNCTION wa.help_overview(topic text) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part  record;
    known record;
    seen  boolean;
BEGIN
    FOR part IN SELECT s.* FROM wa.help_subjects() s WHERE coalesce(s.subject = topic, true) LOOP
        seen := false;
        FOR known IN
            -- A line for each, up to the end of its first sentence.
            SELECT DISTINCT ON (f.place) f.name, split_part(split_part(obj_description(p.oid, 'pg_proc'), '. ', 1), ': ', 1) AS about
            FROM unnest(part.functions) WITH ORDINALITY f (name, place)
            JOIN pg_proc p ON p.pronamespace = 'wa'::regnamespace AND p.proname = f.name AND has_function_privilege(p.oid, 'EXECUTE')
            ORDER BY f.place, p.pronargs, p.oid
        LOOP
            IF NOT seen THEN
                RETURN NEXT '';
                RETURN QUERY SELECT wa.wrapped(upper(part.subject) || '  ' || part.about, '', '  ');
                seen := true;
            END IF;
            RETURN NEXT format('  %s %s', rpad(known.name, 22),
                               CASE WHEN length(rtrim(known.about, '.')) <= 54 THEN rtrim(known.about, '.')
                                    ELSE rtrim(regexp_replace(left(known.about, 53), '\s+\S*$', ''), ',;:(') || ' …' END);
        END LOOP;
    END LOOP;
END $$;
COMMENT ON FUNCTION wa.help_overview(text) IS 'The functions that the caller may execute, with a line for each: of one subject, or of all (null).';

CREATE OR REPLACE FUNCTION wa.help_function(name text) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    known    record;
    argument record;
    taken    text[];
    comment  text;
    example  text;
    kind     text;
    gives    text;
BEGIN
    FOR known IN
        SELECT p.*, pg_get_function_result(p.oid) AS gives, p.pronargs - p.pronargdefaults AS needed FROM pg_proc p
        WHERE p.pronamespace = 'wa'::regnamespace AND p.proname = help_function.name AND has_function_privilege(p.oid, 'EXECUTE')
          AND p.prorettype <> 'trigger'::regtype
        ORDER BY p.pronargs, p.oid
    LOOP
        RETURN NEXT '';
        taken := known.proargnames[1:known.pronargs];
        RETURN QUERY SELECT wa.wrapped(
            coalesce(array_to_string(taken[1:known.needed], ', '), '')
            || CASE WHEN known.pronargdefaults = 0 THEN '' WHEN known.needed = 0 THEN '[' ELSE ' [, ' END
            || coalesce(array_to_string(taken[known.needed + 1:], ', '), '') || CASE WHEN known.pronargdefaults = 0 THEN '' ELSE ']' END || ')',
            'wa.' || known.proname || '(', repeat(' ', length(known.proname) + 4));
        comment := obj_description(known.oid, 'pg_proc');
        gives := 'Returns ' || known.gives || '.';
        kind := CASE WHEN known.proname LIKE 'send\_%' THEN substr(known.proname, 6) ELSE known.proname END;
        -- A made function's comment repeats its fields, which the arguments below have, and says what it returns.
        IF EXISTS (SELECT FROM wa.fields(CASE WHEN known.proname LIKE 'send\_%' THEN 'content' ELSE 'args' END, kind)) AND comment LIKE '%Returns the id of the %' THEN
            gives := substring(comment from 'Returns the id of the .*$');
            comment := coalesce((SELECT k.about FROM wa.message_kinds() k WHERE known.proname = 'send_' || k.kind),
                                (SELECT a.about FROM wa.actions() a WHERE a.kind = known.proname), comment);
        END IF;
        example := (regexp_match(comment, ' (SELECT (?:[^.]|\.(?!\s|$))*;.*)$'))[1];
        comment := rtrim(CASE WHEN example IS NULL THEN comment ELSE left(comment, -length(example)) END);
        RETURN NEXT '';
        RETURN QUERY SELECT wa.wrapped(comment, '  ', '  ');
        IF known.pronargs > 0 THEN
            RETURN NEXT '';
        END IF;
        FOR argument IN
            SELECT a.name, format_type(known.proargtypes[a.place - 1], NULL) AS type,
                   pg_get_function_arg_default(known.oid, a.place::integer) AS given, a.place <= known.needed AS needed,
                   coalesce(f.about, col_description(t.oid, c.attnum)) AS about
            FROM unnest(taken) WITH ORDINALITY a (name, place)
            LEFT JOIN LATERAL (
                SELECT f.field, f.about FROM wa.fields(CASE WHEN known.proname LIKE 'send\_%' THEN 'content' ELSE 'args' END, kind) f
            ) f ON f.field = a.name
            LEFT JOIN pg_class t ON known.proname LIKE 'send%' AND t.oid = 'wa.outbound'::regclass
            LEFT JOIN pg_attribute c ON c.attrelid = t.oid AND c.attname = a.name
            ORDER BY a.place
        LOOP
            RETURN QUERY SELECT wa.wrapped(
                replace(replace(replace(argument.type, 'timestamp with time zone', 'timestamptz'), 'double precision', 'float8'), 'wa.', '')
                || CASE WHEN argument.needed THEN '' WHEN argument.given ~ '^NULL' THEN ''
                        ELSE ', default ' || regexp_replace(argument.given, '::[a-z].*$', '') END
                || coalesce('. ' || argument.about, ''),
                format('  %s %s ', CASE WHEN argument.needed THEN '*' ELSE ' ' END, rpad(argument.name, 14)), repeat(' ', 19));
        END LOOP;
        RETURN NEXT '';
        RETURN QUERY SELECT wa.wrapped(gives, '  ', '    ');
        IF example IS NOT NULL THEN
            RETURN NEXT '';
            RETURN QUERY SELECT l FROM unnest(regexp_split_to_array(rtrim(example, '; '), ';\s+')) e, wa.wrapped(e || ';', '  ', '    ') l;
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION wa.help_function(text) IS 'The manual of the functions with a name that the caller may execute: arguments (* is needed), result, examples.';

CREATE OR REPLACE FUNCTION wa.help_rest(name text) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known record;
    told  record;
BEGIN
    FOR known IN
        SELECT c.oid, c.relname, c.relkind FROM pg_class c
        WHERE c.relnamespace = 'wa'::regnamespace AND c.relname = help_rest.name AND c.relkind IN ('r', 'v', 'p')
          AND has_any_column_privilege(c.oid, 'SELECT')
    LOOP
        RETURN NEXT '';
        RETURN QUERY SELECT wa.wrapped(obj_description(known.oid, 'pg_class'), format('%s wa.%s: ', CASE known.relkind WHEN 'v' THEN 'view' ELSE 'table' END, known.relname), '  ');
        RETURN NEXT '';
        FOR told IN
            SELECT a.attname, replace(format_type(a.atttypid, a.atttypmod), 'timestamp with time zone', 'timestamptz') AS type, col_description(a.attrelid, a.attnum) AS about
            FROM pg_attribute a WHERE a.attrelid = known.oid AND a.attnum > 0 AND NOT a.attisdropped AND has_column_privilege(known.oid, a.attnum, 'SELECT')
            ORDER BY a.attnum
        LOOP
            RETURN QUERY SELECT wa.wrapped(told.type || coalesce('. ' || told.about, ''), format('  %s ', rpad(told.attname, 18)), repeat(' ', 21));
        END LOOP;
    END LOOP;
    RETURN QUERY
        SELECT line FROM wa.errors() e, LATERAL (
            SELECT '' UNION ALL SELECT wa.wrapped(e.meaning, e.code || ' (' || e.name || '): ', '  ') UNION ALL SELECT wa.wrapped(e.remedy, '  What helps: ', '    ')
        ) l (line) WHERE e.code = upper(help_rest.name);
    RETURN QUERY
        SELECT line FROM wa.event_kinds() k, LATERAL (
            SELECT '' UNION ALL SELECT wa.wrapped(k.about, 'event ' || help_rest.name || ': ', '  ') UNION ALL SELECT wa.wrapped(k.data, '  data: ', '    ')
        ) l (line) WHERE help_rest.name = ANY (string_to_array(k.kind, ', '));
END $$;
COMMENT ON FUNCTION wa.help_rest(text) IS 'The manual of a table or view that the caller may read, a SQLSTATE, a kind of event.';

CREATE OR REPLACE FUNCTION wa.help(topic text DEFAULT NULL) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE asked CONSTANT text := regexp_replace(left(btrim(topic), 100), '^wa\.|\(.*\)$', '', 'g');
BEGIN
    IF asked IS NULL THEN
        RETURN NEXT 'wa.help(''send_text'') explains a function; also a table, a subject (''sending''),';
        RETURN NEXT 'an error (''WA002'') or a kind of event. In psql, \t shows the text alone.';
        RETURN QUERY SELECT wa.help_overview(NULL);
        RETURN;
    END IF;
    RETURN QUERY SELECT wa.help_function(asked);
    RETURN QUERY SELECT wa.help_rest(asked);
    RETURN QUERY SELECT wa.help_overview(s.subject) FROM wa.help_subjects() s WHERE s.subject = asked;
    IF NOT EXISTS (SELECT FROM wa.help_names() n WHERE n.name = asked OR n.name = upper(asked)) THEN
        RETURN NEXT format('There is nothing named "%s" that you may use. Near it:', asked);
        RETURN QUERY SELECT '  ' || n FROM wa.help_nearest(asked) n;
    END IF;
END $$;
COMMENT ON FUNCTION wa.help(text) IS 'A manual in lines of 80 characters: all that you may call, or one function, table, subject, error or kind of event. SELECT wa.help(); SELECT wa.help(''send_text'');';

-- A function for each kind of message and each action, with its fields as arguments: made from the lists in
-- 30_message_kinds.sql and 31_actions.sql.

DO $make$
DECLARE
    made     record;
    earlier  text;
    taken    record;
    required text;
    optional text;
    given    text;
    words    text;
BEGIN
    FOR made IN
        SELECT 'content' AS target, 'send_' || k.kind AS name, k.kind, k.body, k.about, NULL AS gives FROM wa.message_kinds() k
        UNION ALL
        -- wa.download is written by hand, because it finds the session by itself.
        SELECT 'args', a.kind, a.kind, 'none', a.about, a.gives FROM wa.actions() a WHERE a.kind <> 'download'
    LOOP
        -- The function of an earlier version may take other fields.
        FOR earlier IN SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'wa'::regnamespace AND p.proname = made.name LOOP
            EXECUTE 'DROP FUNCTION ' || earlier;
        END LOOP;
        required := CASE made.body WHEN 'required' THEN ', body text' ELSE '' END;
        optional := CASE made.body WHEN 'optional' THEN ', body text DEFAULT NULL' ELSE '' END;
        given := '';
        words := '';
        FOR taken IN
            SELECT d.*, CASE d.type WHEN 'number' THEN 'double precision' WHEN 'id' THEN 'bigint' WHEN 'bytes' THEN 'bytea' ELSE CASE WHEN d.type IN ('integer', 'boolean') THEN d.type
                             WHEN d.type IN ('texts', 'messages', 'people') THEN 'text[]' ELSE 'text' END END AS sql
            FROM wa.fields(made.target, made.kind) d
        LOOP
            IF taken.required THEN
                required := required || format(', %I %s', taken.field, taken.sql);
            ELSE
                optional := optional || format(', %I %s DEFAULT NULL', taken.field, taken.sql);
            END IF;
            given := given || format(CASE taken.type WHEN 'bytes' THEN ', %L, encode(%I.%I, ''base64'')' ELSE ', %L, %I.%I' END, taken.field, made.name, taken.field);
            words := words || format(' %s: %s', taken.field, taken.about);
        END LOOP;
        given := format('nullif(jsonb_strip_nulls(jsonb_build_object(%s)), ''{}'')', substr(given, 3));
        IF made.target = 'args' THEN
            EXECUTE format(
                $function$CREATE FUNCTION wa.%1$I(session text%2$s%3$s) RETURNS bigint
                LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $body$
                    SELECT wa.act(%1$I.session, %4$L, %5$s)
                $body$$function$,
                made.name, required, optional, made.kind, given);
            words := words || ' Returns the id of the job in wa.session_job' || coalesce(', whose result is ' || made.gives, '') || '.';
        ELSE
            EXECUTE format(
                $function$CREATE FUNCTION wa.%1$I(
                    session text, recipient text%2$s%3$s, priority integer DEFAULT 0, send_at timestamptz DEFAULT NULL,
                    expires_at timestamptz DEFAULT NULL, dedupe_key text DEFAULT NULL, max_attempts integer DEFAULT 10
                ) RETURNS bigint LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $body$
                    SELECT wa.send(%1$I.session, %1$I.recipient, %4$L, %5$s, %6$s,
                                   %1$I.priority, %1$I.send_at, %1$I.expires_at, %1$I.dedupe_key, %1$I.max_attempts)
                $body$$function$,
                made.name, required, optional, made.kind,
                CASE made.body WHEN 'none' THEN 'NULL' ELSE format('%I.body', made.name) END, given);
            words := words || ' Returns the id of the row in wa.outbound; with a dedupe_key that exists already, the first row''s id, whatever became of that message.';
        END IF;
        EXECUTE format('COMMENT ON FUNCTION wa.%I IS %L', made.name, made.about || words);
    END LOOP;
END $make$;

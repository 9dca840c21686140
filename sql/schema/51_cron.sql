-- Cron expressions that are accepted. The worker reads them with a library and keeps to the same rules
-- (src/jobs/cron/expression.rs); a test compares the two.

CREATE OR REPLACE FUNCTION wa.cron_now() RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT now() $$;
COMMENT ON FUNCTION wa.cron_now() IS 'Clock of the schedules: the database''s. A test may replace it.';

CREATE OR REPLACE FUNCTION wa.cron_value(field integer, word text, ends boolean) RETURNS integer
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN word ~ '^[0-9]+$' THEN word::integer
        WHEN field = 4 THEN array_position('{JAN,FEB,MAR,APR,MAY,JUN,JUL,AUG,SEP,OCT,NOV,DEC}'::text[], word)
        WHEN field = 5 AND ends AND word = 'SUN' THEN 7
        WHEN field = 5 THEN array_position('{SUN,MON,TUE,WED,THU,FRI,SAT}'::text[], word) - 1
    END
$$;
COMMENT ON FUNCTION wa.cron_value(integer, text, boolean) IS 'The number of a word in the 1st to 5th field of a cron expression; SUN is 7 where it ends a range. Null when the field has no such word.';

CREATE OR REPLACE FUNCTION wa.cron_error(expression text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    names  constant text[] := '{minute,hour,day of month,month,day of week}';
    lows   constant integer[] := '{0,0,1,1,0}';
    highs  constant integer[] := '{59,23,31,12,7}';
    days   constant integer[] := '{31,29,31,30,31,30,31,31,30,31,30,31}';
    fields text[];
    item   text;
    part   text[];
    first  integer;
    last   integer;
    -- The earliest of the days of the month, the longest of the months.
    earliest integer := 31;
    longest  integer := 0;
BEGIN
    IF expression IS NULL THEN
        RETURN 'missing';
    ELSIF char_length(expression) > 256 THEN
        RETURN format('%s characters are too many', char_length(expression));
    ELSIF expression ~ '[^ \t0-9A-Za-z*,/-]' THEN
        RETURN 'only digits, names of months and days, blanks and * , - / are accepted';
    END IF;
    fields := regexp_split_to_array(btrim(upper(expression COLLATE "C"), E' \t'), '[ \t]+');
    IF cardinality(fields) <> 5 THEN
        RETURN format('%s fields where five are accepted', CASE WHEN fields = '{""}' THEN 0 ELSE cardinality(fields) END);
    END IF;
    FOR n IN 1..5 LOOP
        FOREACH item IN ARRAY string_to_array(fields[n], ',') LOOP
            part := regexp_match(item, '^(?:(\*)|([0-9]{1,2}|[A-Z]{3})(?:-([0-9]{1,2}|[A-Z]{3}))?)(?:/([0-9]{1,2}))?$');
            IF part IS NULL THEN
                RETURN format('%s: "%s" is none of *, a value, a range, or a step of * or of a range', names[n], item);
            END IF;
            IF part[1] = '*' AND part[4] IS NULL AND item <> fields[n] THEN
                RETURN format('%s: * stands alone or with a step, and not in a list', names[n]);
            END IF;
            first := CASE WHEN part[1] = '*' THEN lows[n] ELSE wa.cron_value(n, part[2], false) END;
            last := CASE WHEN part[1] = '*' THEN highs[n] WHEN part[3] IS NULL THEN first ELSE wa.cron_value(n, part[3], true) END;
            IF first IS NULL OR last IS NULL OR first < lows[n] OR last > highs[n] THEN
                RETURN format('%s: "%s" is not within %s to %s', names[n], item, lows[n], highs[n]);
            ELSIF first > last THEN
                RETURN format('%s: "%s" ends before it begins', names[n], item);
            ELSIF part[4] IS NOT NULL AND part[1] IS NULL AND part[3] IS NULL THEN
                RETURN format('%s: "%s" is a step of one value; write %s-%s/%s', names[n], item, part[2], highs[n], part[4]);
            ELSIF part[4]::integer NOT BETWEEN 1 AND highs[n] THEN
                RETURN format('%s: the step of "%s" is not within 1 to %s', names[n], item, highs[n]);
            END IF;
            IF n = 3 THEN
                earliest := least(earliest, first);
            ELSIF n = 4 THEN
                FOR month IN first..last BY coalesce(part[4]::integer, 1) LOOP
                    longest := greatest(longest, days[month]);
                END LOOP;
            END IF;
        END LOOP;
    END LOOP;
    IF fields[5] = '*' AND earliest > longest THEN
        RETURN format('it never fires: none of these months has a day %s', earliest);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.cron_error(text) IS 'The error in a cron expression; null without one. SELECT wa.cron_error(''*/5 9-17 * * MON-FRI'');';

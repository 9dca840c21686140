-- Phone numbers as people write them (M2), by the rules of libphonenumber over its data in wa.region.

CREATE OR REPLACE FUNCTION wa.without_national_prefix(r wa.region, number text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    prefix CONSTANT text := '^(?:' || r.national_prefix || ')';
    whole  CONSTANT text := '^(?:' || r.pattern || ')$';
    groups text[];
    rest   text;
BEGIN
    IF r.national_prefix IS NULL OR number !~ prefix THEN
        RETURN number;
    END IF;
    groups := regexp_match(number, prefix);
    rest := regexp_replace(number, prefix,
        CASE WHEN r.transform IS NULL OR coalesce(groups[cardinality(groups)], '') = '' THEN '' ELSE regexp_replace(r.transform, '\$', '\\', 'g') END);
    -- A text that is a number with these digits, and is none without them, has no prefix.
    RETURN CASE WHEN number ~ whole AND rest !~ whole THEN number ELSE rest END;
END $$;
COMMENT ON FUNCTION wa.without_national_prefix(wa.region, text) IS 'A number as dialled within a country, without its national prefix.';

CREATE OR REPLACE FUNCTION wa.phone(number text, region text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    plain  text := translate(phone.number, '０１２３４５６７８９٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९＋', '0123456789012345678901234567890123456789+');
    digits text;
    home   wa.region;
    there  wa.region;
    rest   text;
BEGIN
    plain := regexp_replace(btrim(plain), '^tel:', '', 'i');
    digits := regexp_replace(plain, '[[:space:]().\[\]/~‐‑‒–—−\-\u00a0\u00ad\u200b\u2060\u202a-\u202e]', '', 'g');
    IF digits !~ '^\+?[0-9]{4,24}$' THEN
        RETURN NULL;
    END IF;
    SELECT * INTO home FROM wa.region h WHERE h.region = phone.region;
    IF digits NOT LIKE '+%' AND home.international_prefix IS NOT NULL AND digits ~ ('^(?:' || home.international_prefix || ')[1-9]') THEN
        digits := '+' || regexp_replace(digits, '^(?:' || home.international_prefix || ')', '');
    ELSIF digits NOT LIKE '+%' AND home.region IS NULL AND digits LIKE '00%' THEN
        digits := '+' || substr(digits, 3);
    END IF;
    IF digits LIKE '+%' OR home.region IS NULL THEN
        digits := ltrim(digits, '+');
        SELECT * INTO there FROM wa.region t WHERE t.main AND t.code IN (left(digits, 1), left(digits, 2), left(digits, 3));
        -- A number with blanks or brackets may have the national prefix in the middle: +49 (0)89 …
        IF FOUND AND plain ~ '[^0-9+]' THEN
            digits := there.code || wa.without_national_prefix(there, substr(digits, length(there.code) + 1));
        END IF;
    ELSE
        rest := wa.without_national_prefix(home, substr(digits, length(home.code) + 1));
        IF digits LIKE home.code || '%'
           AND digits !~ ('^(?:' || home.pattern || ')$') AND rest ~ ('^(?:' || home.pattern || ')$') THEN
            digits := home.code || rest;
        ELSE
            digits := home.code || wa.without_national_prefix(home, digits);
        END IF;
    END IF;
    RETURN CASE WHEN digits ~ '^[1-9][0-9]{6,14}$' THEN digits END;
END $$;
COMMENT ON FUNCTION wa.phone(text, text) IS 'The international digits of a phone number in any usual notation, also without calling code when the country is given; null for anything else. SELECT wa.phone(''089 / 1234 567'', ''DE'');';

CREATE OR REPLACE FUNCTION wa.jid(recipient text, region text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE trimmed CONSTANT text := btrim(recipient);
BEGIN
    IF trimmed ~ '^[1-9][0-9]{4,19}@(s\.whatsapp\.net|lid)$' OR trimmed ~ '^[0-9]{5,20}(-[0-9]{5,20})?@g\.us$' OR trimmed = 'status@broadcast' THEN
        RETURN trimmed;
    END IF;
    RETURN wa.phone(trimmed, jid.region) || '@s.whatsapp.net';
END $$;
COMMENT ON FUNCTION wa.jid(text, text) IS 'The JID of a phone number or JID, see wa.phone; null for anything else.';

CREATE OR REPLACE FUNCTION wa.chat_jid(recipient text, region text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE found CONSTANT text := wa.jid(chat_jid.recipient, chat_jid.region);
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION 'recipient: % is not a phone number or JID', coalesce('"' || left(recipient, 80) || '"', 'null')
            USING ERRCODE = 'WA002', COLUMN = 'recipient',
                  HINT = 'Accepted: an international number of 7 to 15 digits such as +79001234567, ' || CASE WHEN chat_jid.region IS NOT NULL THEN 'one of ' || chat_jid.region || ', ' ELSE '' END
                         || 'a JID that ends in @s.whatsapp.net, @lid or @g.us, or status@broadcast.';
    END IF;
    RETURN found;
END $$;
COMMENT ON FUNCTION wa.chat_jid(text, text) IS 'The JID of a recipient; error WA002 for anything but a phone number or JID.';

CREATE OR REPLACE FUNCTION wa.region_of(session text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT s.region FROM wa.session s WHERE s.name = region_of.session $$;
COMMENT ON FUNCTION wa.region_of(text) IS 'The country of a session''s numbers without calling code.';

-- Settings of a session: proxy, country of its numbers, limits on crypto errors, messages from before the link.

CREATE OR REPLACE FUNCTION wa.set_proxy(session text, url text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE of_session CONSTANT bigint := wa.session_id(set_proxy.session);
BEGIN
    PERFORM wa.must_send();
    IF url IS NULL THEN
        DELETE FROM wa.proxy p WHERE p.session_id = of_session;
    -- The error does not repeat the value, which may hold a password.
    ELSIF url !~ '^(http|socks5)://([^\s/@:]+(:[^\s/@:]*)?@)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$' OR length(url) > 1000
          OR substring(url FROM ':([0-9]+)$')::int NOT BETWEEN 1 AND 65535 THEN
        RAISE EXCEPTION 'url: not the address of a proxy'
            USING ERRCODE = 'WA031', COLUMN = 'url',
                  HINT = 'Accepted: http:// or socks5://, then user:password@ if the proxy needs them (characters other than letters and digits as %40 and the like), then host:port; null for none.';
    ELSE
        INSERT INTO wa.proxy AS p (session_id, url)
        VALUES (of_session, jsonb_build_object('type', 'Buffer', 'data', translate(encode(convert_to(set_proxy.url, 'UTF8'), 'base64'), E'\n', '')))
        ON CONFLICT ON CONSTRAINT proxy_pkey DO UPDATE SET url = EXCLUDED.url, updated_at = now();
    END IF;
    UPDATE wa.session s SET proxy = regexp_replace(set_proxy.url, '//[^/]*@', '//') WHERE s.session_id = of_session;
END $$;
COMMENT ON FUNCTION wa.set_proxy(text, text) IS 'Sets the proxy between a session and WhatsApp, from its next connection on (SELECT wa.close and wa.connect for now); null removes it. Workers dial addresses of private networks only if worker.proxy_allow lists them. SELECT wa.set_proxy(''shop'', ''socks5://user:password@proxy.example.com:1080'');';

CREATE OR REPLACE FUNCTION wa.set_region(session text, region text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE of_session bigint;
BEGIN
    PERFORM wa.must_send();
    of_session := wa.session_id(set_region.session);
    IF set_region.region IS NOT NULL AND NOT EXISTS (SELECT FROM wa.region r WHERE r.region = upper(set_region.region)) THEN
        RAISE EXCEPTION 'region: "%" is not a country', left(set_region.region, 80)
            USING ERRCODE = 'WA037', COLUMN = 'region', HINT = 'Accepted: the two letters of a country, such as DE, or null to take every number as international.';
    END IF;
    UPDATE wa.session s SET region = upper(set_region.region) WHERE s.session_id = of_session;
END $$;
COMMENT ON FUNCTION wa.set_region(text, text) IS 'Sets the country of numbers without calling code. SELECT wa.set_region(''shop'', ''DE''); then wa.send_text(''shop'', ''089 1234567'', ''Hello'') goes to +49891234567.';

CREATE OR REPLACE FUNCTION wa.set_crypto_limits(session text, bad_macs integer DEFAULT 3, bad_decrypts integer DEFAULT 5, relink boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_session CONSTANT bigint := wa.session_id(set_crypto_limits.session);
    wrong CONSTANT text := CASE WHEN bad_macs BETWEEN 1 AND 1000000 THEN
        CASE WHEN bad_decrypts BETWEEN 1 AND 1000000 THEN CASE WHEN relink IS NULL THEN 'relink' END ELSE 'bad_decrypts' END
        ELSE 'bad_macs' END;
BEGIN
    PERFORM wa.must_send();
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%: out of range', wrong
            USING ERRCODE = 'WA030', COLUMN = wrong, HINT = 'Accepted: 1 to 1000000 errors; for relink true or false.';
    END IF;
    UPDATE wa.session s
    SET bad_mac_limit = set_crypto_limits.bad_macs, bad_decrypt_limit = set_crypto_limits.bad_decrypts, relink_at_limit = relink
    WHERE s.session_id = of_session;
END $$;
COMMENT ON FUNCTION wa.set_crypto_limits(text, integer, integer, boolean) IS 'Sets how many messages (Bad MAC) and pieces of app state (Bad Decrypt) may fail to decrypt in one connection before wa.session_health shows the session as unhealthy; with relink the session is then closed, and has to be linked again. SELECT wa.set_crypto_limits(''shop'', bad_macs => 10);';

CREATE OR REPLACE FUNCTION wa.keep_past(session text, keep boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE of_session bigint;
BEGIN
    PERFORM wa.must_send();
    of_session := wa.session_id(keep_past.session);
    IF keep_past.keep IS NULL THEN
        RAISE EXCEPTION 'keep: null is not accepted'
            USING ERRCODE = 'WA039', COLUMN = 'keep', HINT = 'Accepted: true or false.';
    END IF;
    UPDATE wa.session s SET keep_past = keep_past.keep WHERE s.session_id = of_session;
END $$;
COMMENT ON FUNCTION wa.keep_past(text, boolean) IS 'Sets whether messages from before a link are kept in wa.past. Call it before the link, because the phone sends them once. SELECT wa.keep_past(''shop'');';

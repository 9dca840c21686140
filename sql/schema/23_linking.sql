-- Linking by QR and pairing code (S2), with limits on how often.

-- WhatsApp blocks numbers that ask for codes again and again, so there are limits.
CREATE OR REPLACE FUNCTION wa.link(session text, phone text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    own_id bigint;
    digits text := regexp_replace(link.phone, '[^0-9]', '', 'g');
    job    bigint;
    links  bigint;
    codes  bigint;
BEGIN
    PERFORM wa.must_send();
    own_id := wa.session_id(link.session);
    IF link.phone IS NOT NULL AND (link.phone !~ '^\s*\+?[0-9][0-9 ().-]*$' OR digits !~ '^[1-9][0-9]{6,14}$') THEN
        RAISE EXCEPTION 'phone: "%" is not a phone number', left(link.phone, 80)
            USING ERRCODE = 'WA002', COLUMN = 'phone', HINT = 'Accepted: an international number of 7 to 15 digits such as +79001234567.';
    END IF;
    -- Links that workers queue have a reason, and do not count. Codes count by tenant, so that none can use up the codes
    -- of another one's phone, or learn of them.
    links := (SELECT count(*) FROM wa.session_job j
              WHERE j.session_id = own_id AND j.kind = 'link' AND j.reason IS NULL AND j.created_at > now() - interval '1 hour');
    codes := (SELECT count(*) FROM wa.session_job j JOIN wa.session s USING (session_id) JOIN wa.session own USING (tenant)
              WHERE j.phone = digits AND j.created_at > now() - interval '1 hour' AND own.session_id = own_id);
    IF links >= 20 OR codes >= 5 THEN
        RAISE EXCEPTION '%', CASE WHEN codes >= 5 THEN format('phone: 5 pairing codes were asked for %s within an hour', digits)
                                  ELSE format('session: 20 links were asked for %s within an hour', link.session) END
            USING ERRCODE = 'WA028', COLUMN = CASE WHEN codes >= 5 THEN 'phone' ELSE 'session' END,
                  HINT = 'WhatsApp blocks numbers that ask for codes again and again; wait, or without a phone number scan the QR code.';
    END IF;
    UPDATE wa.session s SET link_phone = digits WHERE s.session_id = own_id AND s.link_phone IS DISTINCT FROM digits;
    job := wa.add_session_job(link.session, 'link');
    UPDATE wa.session_job j SET phone = digits WHERE j.id = job AND digits IS NOT NULL;
    RETURN job;
END $$;
COMMENT ON FUNCTION wa.link(text, text) IS 'Links a phone: the QR text appears in wa.session.qr, and the channel wa_session announces it; with a phone number also a pairing code in wa.session.code. A session that is linked already is connected; if WhatsApp has unlinked it meanwhile, a QR code follows. Returns the job''s id. SELECT wa.link(''shop''); SELECT wa.link(''shop'', ''+79001234567'');';

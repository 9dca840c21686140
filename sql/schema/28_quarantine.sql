-- The way back from the quarantine: WhatsApp may unlink a device by mistake, or unlock an account again.

CREATE OR REPLACE FUNCTION wa.restore_auth(session text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_session CONSTANT bigint := wa.session_id(restore_auth.session);
    kept wa.auth_quarantine;
    keys bigint;
BEGIN
    PERFORM wa.must_send();
    -- No worker takes the session meanwhile.
    PERFORM FROM wa.lease l JOIN wa.session s USING (session_id)
    WHERE l.session_id = of_session AND l.holder IS NULL AND s.jid IS NULL AND NOT wa.needs_holder(s.status)
    FOR UPDATE OF l;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'session: "%" is linked or being linked', restore_auth.session
            USING ERRCODE = 'WA045', COLUMN = 'session', HINT = 'Accepted: a session that is logged out and that no worker holds.';
    END IF;
    SELECT * INTO kept FROM wa.auth_quarantine q
    WHERE q.session_id = of_session AND q.kind = 'creds' AND q.key_id = '' ORDER BY q.id DESC LIMIT 1;
    IF kept.id IS NULL THEN
        RAISE EXCEPTION 'session: the quarantine has no credentials of "%"', restore_auth.session
            USING ERRCODE = 'WA045', COLUMN = 'session', HINT = 'Accepted: a session whose auth state was quarantined in the last 30 days (event auth_quarantined).';
    END IF;
    -- What an unfinished linking has left.
    DELETE FROM wa.auth_key k WHERE k.session_id = of_session;
    DELETE FROM wa.auth a WHERE a.session_id = of_session;
    INSERT INTO wa.auth (session_id, creds) VALUES (of_session, kept.value);
    WITH taken AS (
        DELETE FROM wa.auth_quarantine q WHERE q.session_id = of_session AND q.created_at = kept.created_at AND q.reason = kept.reason
        RETURNING q.kind, q.key_id, q.value, q.key_expires_at
    )
    INSERT INTO wa.auth_key (session_id, kind, key_id, value, expires_at)
    SELECT of_session, t.kind, t.key_id, t.value, t.key_expires_at FROM taken t
    WHERE t.kind <> 'creds' AND (t.key_expires_at IS NULL OR t.key_expires_at > now());
    GET DIAGNOSTICS keys = ROW_COUNT;
    UPDATE wa.session s
    SET jid = kept.value #>> '{me,id}', lid = kept.value #>> '{me,lid}',
        status = 'disconnected', status_reason = 'auth state taken back from the quarantine', status_code = 'restored'
    WHERE s.session_id = of_session;
    INSERT INTO wa.event (session, session_id, kind, data)
    VALUES (restore_auth.session, of_session, 'auth_restored', jsonb_build_object('keys', keys, 'quarantined_at', kept.created_at));
    -- The device may have sent with keys whose use was not written when its connection ended.
    PERFORM wa.reset_ratchets(of_session, 'taken back from the quarantine');
    RETURN keys;
END $$;
COMMENT ON FUNCTION wa.restore_auth(text) IS 'Takes the auth state of a session that WhatsApp or a crypto limit unlinked back from the quarantine, where it is kept for 30 days, and returns the number of keys; chats start new Signal sessions. It helps if WhatsApp accepts the device again; wa.connect shows whether it does. SELECT wa.restore_auth(''shop''), wa.connect(''shop'');';

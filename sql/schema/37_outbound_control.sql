-- What people do with queued messages: cancel, retry, pause, resume.

CREATE OR REPLACE FUNCTION wa.withdraw(ids bigint[], as_status wa.outbound_status) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    mine CONSTANT bigint[] := ARRAY(
        SELECT s.id FROM (SELECT DISTINCT o.session_id AS id FROM wa.outbound o WHERE o.id = ANY (withdraw.ids) AND o.live) s
        WHERE wa.sees(s.id)
    );
    ended    bigint[];
    sessions bigint[];
BEGIN
    PERFORM wa.must_send();
    -- In the lock order of claims. A claim that waits for this lock finds withdrawals changed, and reads again.
    PERFORM FROM wa.sending b WHERE b.session_id = ANY (mine) ORDER BY b.session_id FOR UPDATE;
    WITH changed AS (
        UPDATE wa.outbound o
        SET status = as_status, waits_for = NULL,
            cancelled_at = CASE WHEN as_status = 'cancelled' THEN now() END,
            expired_at = CASE WHEN as_status = 'expired' THEN now() END
        FROM wa.sending b
        WHERE b.session_id = ANY (mine) AND o.session_id = b.session_id AND o.id = ANY (withdraw.ids)
          AND o.status = 'queued' AND o.id <> ALL (b.taken)
        RETURNING o.session_id, o.id
    ), counted AS (
        UPDATE wa.sending b SET withdrawals = b.withdrawals + 1
        FROM (SELECT DISTINCT session_id FROM changed) c WHERE b.session_id = c.session_id
    )
    SELECT array_agg(changed.id ORDER BY changed.id), array_agg(changed.session_id ORDER BY changed.id)
    INTO ended, sessions FROM changed;
    IF ended IS NULL THEN
        RETURN '{}';
    END IF;
    PERFORM wa.announce_status(sessions, ended);
    RETURN ended;
END $$;
COMMENT ON FUNCTION wa.withdraw(bigint[], wa.outbound_status) IS 'Ends queued messages that no worker has claimed as cancelled or expired, and returns their ids. Messages on their way stay.';

CREATE OR REPLACE FUNCTION wa.cancel(id bigint) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT cardinality(wa.withdraw(ARRAY[cancel.id], 'cancelled')) = 1
$$;
COMMENT ON FUNCTION wa.cancel(bigint) IS 'Cancels a queued message: true when it will not be sent, false when it is on its way or has ended already. SELECT wa.cancel(42);';

CREATE OR REPLACE FUNCTION wa.cancel_all(session text, recipient text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_session CONSTANT bigint := wa.session_id(cancel_all.session);
    of_chat    CONSTANT text := CASE WHEN recipient IS NOT NULL THEN wa.chat_jid(recipient, wa.region_of(cancel_all.session)) END;
BEGIN
    RETURN cardinality(wa.withdraw(ARRAY(
        SELECT o.id FROM wa.outbound o
        WHERE o.session_id = of_session AND o.live AND (of_chat IS NULL OR o.chat = of_chat)
    ), 'cancelled'));
END $$;
COMMENT ON FUNCTION wa.cancel_all(text, text) IS 'Cancels the queued messages of a session, all of them or those to one recipient; returns how many. Messages on their way stay. SELECT wa.cancel_all(''shop'');';

CREATE OR REPLACE FUNCTION wa.retry(id bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    own           record;
    is_paused     boolean := false;
    found_session bigint;
    back          boolean;
BEGIN
    PERFORM wa.must_send();
    SELECT o.session_id, o.campaign INTO own FROM wa.outbound o WHERE o.id = retry.id AND wa.sees(o.session_id);
    IF own.campaign IS NOT NULL THEN
        -- As in wa.outbound_campaign: a pause or its end waits for this transaction, or this one for it.
        PERFORM FROM wa.campaign c WHERE c.session_id = own.session_id AND c.campaign = own.campaign FOR KEY SHARE;
        is_paused := EXISTS (
            SELECT FROM wa.campaign c WHERE c.session_id = own.session_id AND c.campaign = own.campaign AND c.paused_at IS NOT NULL);
    END IF;
    UPDATE wa.outbound o
    SET status = 'queued',
        -- What ended before its time waits for it again.
        waits_for = CASE WHEN o.live THEN NULL
                         WHEN is_paused THEN 'paused'::wa.wait_reason
                         WHEN o.send_at > now() THEN 'scheduled' END,
        run_at = CASE WHEN NOT o.live AND o.send_at > now() THEN o.send_at ELSE now() END,
        attempts = CASE WHEN o.live THEN o.attempts ELSE 0 END,
        expires_at = CASE WHEN o.expires_at > now() THEN o.expires_at END,
        failed_at = NULL, failure = NULL, cancelled_at = NULL, expired_at = NULL
    FROM wa.outbound was
    WHERE o.id = retry.id AND o.session_id = own.session_id AND was.session_id = o.session_id AND was.id = o.id
      AND (o.status IN ('failed', 'cancelled', 'expired') OR (o.status = 'queued' AND o.waits_for IS NOT NULL))
    RETURNING o.session_id, NOT was.live INTO found_session, back;
    IF found_session IS NULL THEN
        RETURN false;
    END IF;
    IF back THEN
        PERFORM wa.announce_status(ARRAY[found_session], ARRAY[retry.id]);
    END IF;
    PERFORM wa.wake();
    RETURN true;
END $$;
COMMENT ON FUNCTION wa.retry(bigint) IS 'Queues a failed, cancelled or expired message again, with all its attempts and under the same WhatsApp message id; one whose send_at is still to come waits for it, one of a paused campaign for wa.resume_campaign. A message that waits (waits_for) is tried at once. False when there is nothing to retry. SELECT wa.retry(42);';

CREATE OR REPLACE FUNCTION wa.pause(session text, reason text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE of_session bigint;
BEGIN
    PERFORM wa.must_send();
    of_session := wa.session_id(pause.session);
    PERFORM wa.check_reason(pause.reason);
    -- Of two pauses the first one counts; a reason may be added later.
    UPDATE wa.session s
    SET paused_at = coalesce(s.paused_at, now()), paused_reason = coalesce(pause.reason, s.paused_reason),
        paused_by = CASE WHEN s.paused_at IS NULL THEN wa.caller_name() ELSE s.paused_by END
    WHERE s.session_id = of_session;
END $$;
COMMENT ON FUNCTION wa.pause(text, text) IS 'Pauses the sending of a session; the session stays connected and receives. Messages on their way go out. SELECT wa.pause(''shop'', ''campaign stopped'');';

CREATE OR REPLACE FUNCTION wa.resume(session text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE of_session bigint;
BEGIN
    PERFORM wa.must_send();
    of_session := wa.session_id(resume.session);
    UPDATE wa.session s SET paused_at = NULL, paused_reason = NULL, paused_by = NULL
    WHERE s.session_id = of_session;
    PERFORM wa.wake();
END $$;
COMMENT ON FUNCTION wa.resume(text) IS 'Resumes the sending of a session. SELECT wa.resume(''shop'');';

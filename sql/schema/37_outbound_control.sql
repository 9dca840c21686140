-- What people do with queued messages: cancel, retry, pause, resume.

CREATE OR REPLACE FUNCTION wa.withdraw(ids bigint[], as_status wa.outbound_status) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    mine CONSTANT bigint[] := ARRAY(
        SELECT s.id FROM (SELECT DISTINCT o.session_id AS id FROM wa.outbound o WHERE o.id = ANY (withdraw.ids) AND o.status = 'queued') s
        WHERE wa.sees(s.id)
    );
    ended    bigint[];
    sessions bigint[];
    chats    text[];
BEGIN
    PERFORM wa.must_send();
    -- In the lock order of claims. A claim that waits for this lock finds withdrawals changed, and reads again.
    PERFORM FROM wa.sending b WHERE b.session_id = ANY (mine) ORDER BY b.session_id FOR UPDATE;
    WITH changed AS (
        UPDATE wa.outbound o
        SET status = as_status,
            cancelled_at = CASE WHEN as_status = 'cancelled' THEN now() END,
            expired_at = CASE WHEN as_status = 'expired' THEN now() END
        FROM wa.sending b
        WHERE b.session_id = ANY (mine) AND o.session_id = b.session_id AND o.id = ANY (withdraw.ids)
          AND o.status = 'queued' AND o.id <> ALL (b.taken)
        RETURNING o.session_id, o.chat, o.id
    ), counted AS (
        UPDATE wa.sending b SET withdrawals = b.withdrawals + 1
        FROM (SELECT DISTINCT session_id FROM changed) c WHERE b.session_id = c.session_id
    )
    SELECT array_agg(changed.id ORDER BY changed.id), array_agg(changed.session_id ORDER BY changed.id), array_agg(changed.chat ORDER BY changed.id)
    INTO ended, sessions, chats FROM changed;
    IF ended IS NULL THEN
        RETURN '{}';
    END IF;
    DELETE FROM wa.outbound_queue q USING unnest(sessions, chats, ended) AS e (session_id, chat, id)
    WHERE q.session_id = e.session_id AND q.chat = e.chat AND q.id = e.id;
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
        SELECT q.id FROM wa.outbound_queue q
        WHERE q.session_id = of_session AND (of_chat IS NULL OR q.chat = of_chat)
    ), 'cancelled'));
END $$;
COMMENT ON FUNCTION wa.cancel_all(text, text) IS 'Cancels the queued messages of a session, all of them or those to one recipient; returns how many. Messages on their way stay. SELECT wa.cancel_all(''shop'');';

CREATE OR REPLACE FUNCTION wa.retry(id bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    own       wa.outbound;
    is_paused boolean;
BEGIN
    PERFORM wa.must_send();
    SELECT o.* INTO own FROM wa.outbound o WHERE o.id = retry.id AND wa.sees(o.session_id);
    IF own.id IS NULL THEN
        RETURN false;
    END IF;
    IF own.campaign IS NOT NULL THEN
        -- As in wa.outbound_campaign: a pause or its end waits for this transaction, or this one for it.
        PERFORM FROM wa.campaign c WHERE c.session_id = own.session_id AND c.campaign = own.campaign FOR KEY SHARE;
    END IF;
    IF own.status IN ('queued', 'sending') THEN
        UPDATE wa.outbound_queue q SET waits_for = NULL, run_at = NULL
        WHERE q.session_id = own.session_id AND q.chat = own.chat AND q.id = own.id AND q.waits_for IS NOT NULL;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
    ELSE
        is_paused := EXISTS (
            SELECT FROM wa.campaign c WHERE c.session_id = own.session_id AND c.campaign = own.campaign AND c.paused_at IS NOT NULL);
        UPDATE wa.outbound o
        SET status = 'queued', attempts = 0, apart = true, expires_at = CASE WHEN o.expires_at > now() THEN o.expires_at END,
            failed_at = NULL, failure = NULL, cancelled_at = NULL, expired_at = NULL
        WHERE o.id = own.id AND o.status IN ('failed', 'cancelled', 'expired')
        RETURNING o.* INTO own;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
        PERFORM wa.queue(own, is_paused);
        -- The worker's last claim still names it, if it was in hand then: it is in nobody's hands.
        UPDATE wa.sending b SET taken = array_remove(b.taken, own.id) WHERE b.session_id = own.session_id AND own.id = ANY (b.taken);
        PERFORM wa.announce_status(ARRAY[own.session_id], ARRAY[own.id]);
    END IF;
    PERFORM wa.wake(ARRAY[own.session_id]);
    RETURN true;
END $$;
COMMENT ON FUNCTION wa.retry(bigint) IS 'Queues a failed, cancelled or expired message again, with all its attempts and under the same WhatsApp message id; one whose send_at is still to come waits for it, one of a paused campaign for wa.resume_campaign. A message that waits (wa.outbound_queue.waits_for) is tried at once. False when there is nothing to retry. SELECT wa.retry(42);';

CREATE OR REPLACE FUNCTION wa.queue(message wa.outbound, is_paused boolean) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO wa.outbound_queue (session_id, id, rank, chat, campaign, expires_at, waits_for, run_at)
    SELECT message.session_id, message.id, -message.priority, message.chat, message.campaign, message.expires_at,
           CASE WHEN is_paused THEN 'paused'::wa.wait_reason WHEN message.send_at > now() THEN 'scheduled' END,
           CASE WHEN is_paused OR message.send_at > now() THEN greatest(message.send_at, now()) END
    -- It is there if somebody has ended the message by hand.
    ON CONFLICT ON CONSTRAINT outbound_queue_pkey DO UPDATE SET expires_at = EXCLUDED.expires_at, waits_for = EXCLUDED.waits_for, run_at = EXCLUDED.run_at
$$;
COMMENT ON FUNCTION wa.queue(wa.outbound, boolean) IS 'Queues a message again that had ended: held with its paused campaign, or waiting for its send_at, or to be sent at once.';

-- Whoever changes wa.outbound by hand has to do the rest by hand, too; this does it for them.
CREATE OR REPLACE FUNCTION wa.mend_queue(OUT queued bigint, OUT removed bigint, OUT changed bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM wa.must_administer();
    DELETE FROM wa.outbound o WHERE NOT EXISTS (SELECT FROM wa.session s WHERE s.session_id = o.session_id);
    PERFORM wa.queue(o, c.paused_at IS NOT NULL) FROM wa.outbound o LEFT JOIN wa.campaign c USING (session_id, campaign)
    WHERE o.status IN ('queued', 'sending')
      AND NOT EXISTS (SELECT FROM wa.outbound_queue q WHERE q.session_id = o.session_id AND q.chat = o.chat AND q.id = o.id);
    GET DIAGNOSTICS queued = ROW_COUNT;
    UPDATE wa.outbound_queue q
    SET rank = -o.priority, expires_at = o.expires_at,
        waits_for = CASE WHEN q.waits_for <> 'scheduled' THEN q.waits_for WHEN o.send_at > now() THEN 'scheduled' END,
        run_at = CASE WHEN q.waits_for <> 'scheduled' THEN q.run_at WHEN o.send_at > now() THEN o.send_at END
    FROM wa.outbound o
    WHERE o.id = q.id AND o.session_id = q.session_id AND o.chat = q.chat
      AND (q.rank <> -o.priority OR q.expires_at IS DISTINCT FROM o.expires_at
           OR CASE WHEN q.waits_for = 'scheduled' THEN q.run_at IS DISTINCT FROM o.send_at ELSE q.waits_for IS NULL AND o.send_at > now() END);
    GET DIAGNOSTICS changed = ROW_COUNT;
    DELETE FROM wa.outbound_queue q
    WHERE NOT EXISTS (SELECT FROM wa.outbound o WHERE o.id = q.id AND o.session_id = q.session_id AND o.status IN ('queued', 'sending'));
    GET DIAGNOSTICS removed = ROW_COUNT;
    PERFORM wa.wake();
END $$;
COMMENT ON FUNCTION wa.mend_queue() IS 'Makes wa.outbound_queue agree with the status, priority, send_at and expires_at of wa.outbound, after somebody has changed those by hand, and deletes messages whose session is gone; returns how many messages it queued, removed from the queue, and changed there. Reads all messages. SELECT * FROM wa.mend_queue();';

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
    PERFORM wa.wake(ARRAY[of_session]);
END $$;
COMMENT ON FUNCTION wa.resume(text) IS 'Resumes the sending of a session. SELECT wa.resume(''shop'');';

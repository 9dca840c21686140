-- Outbound messages: everything that can be known to be wrong is refused at INSERT, by column and with what is accepted.

CREATE OR REPLACE FUNCTION wa.new_message_id() RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    -- Digits of random UUIDs that are random.
    SELECT '3EB0' || upper(right(gen_random_uuid()::text, 12) || left(gen_random_uuid()::text, 6))
$$;
COMMENT ON FUNCTION wa.new_message_id() IS 'A WhatsApp message id as web clients make them: 3EB0 and 18 random hex digits.';

CREATE OR REPLACE FUNCTION wa.check_outbound_orders(o wa.outbound) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF o.priority IS NULL OR o.priority NOT BETWEEN -100 AND 100 THEN
        RAISE EXCEPTION 'priority: % is out of range', coalesce(o.priority::text, 'null')
            USING ERRCODE = 'WA011', COLUMN = 'priority', HINT = 'Accepted: -100 to 100; larger goes first.';
    ELSIF o.max_attempts IS NULL OR o.max_attempts NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'max_attempts: % is out of range', coalesce(o.max_attempts::text, 'null')
            USING ERRCODE = 'WA011', COLUMN = 'max_attempts', HINT = 'Accepted: 1 to 1000.';
    ELSIF NOT wa.is_moment(o.send_at) THEN
        RAISE EXCEPTION 'send_at: % is not a moment', o.send_at
            USING ERRCODE = 'WA011', COLUMN = 'send_at', HINT = 'Accepted: a moment before the year 3000; leave it out to send at once. wa.pause holds a session back.';
    ELSIF NOT wa.is_moment(o.expires_at) THEN
        RAISE EXCEPTION 'expires_at: % is not a moment', o.expires_at
            USING ERRCODE = 'WA011', COLUMN = 'expires_at', HINT = 'Accepted: a moment before the year 3000; leave it out for a message that never expires.';
    ELSIF o.expires_at <= coalesce(o.send_at, now()) THEN
        RAISE EXCEPTION 'expires_at: % is not after %', o.expires_at, coalesce('send_at, ' || o.send_at, 'now')
            USING ERRCODE = 'WA011', COLUMN = 'expires_at', HINT = 'Accepted: a moment after send_at and after now.';
    ELSIF octet_length(o.dedupe_key) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'dedupe_key: % bytes are too few or too many', octet_length(o.dedupe_key)
            USING ERRCODE = 'WA011', COLUMN = 'dedupe_key', HINT = 'Accepted: 1 to 255 bytes, or leave it out.';
    ELSIF octet_length(o.campaign) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'campaign: % bytes are too few or too many', octet_length(o.campaign)
            USING ERRCODE = 'WA011', COLUMN = 'campaign', HINT = 'Accepted: 1 to 255 bytes, or leave it out.';
    END IF;
END $$;
COMMENT ON FUNCTION wa.check_outbound_orders(wa.outbound) IS 'Checks priority, max_attempts, send_at, expires_at, dedupe_key and campaign of a new message; error WA011 names the column and what is accepted.';

-- Whoever pauses or resumes a campaign takes this lock alone, whoever inserts for it shares it, so that no transaction which is
-- still open inserts past them.
CREATE OR REPLACE FUNCTION wa.campaign_lock(session_id bigint, campaign text) RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT hashtextextended(campaign_lock.campaign, campaign_lock.session_id)
$$;
COMMENT ON FUNCTION wa.campaign_lock(bigint, text) IS 'Number of the advisory lock of a campaign.';

CREATE OR REPLACE FUNCTION wa.is_paused(session_id bigint, campaign text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(wa.campaign_lock(is_paused.session_id, is_paused.campaign));
    RETURN EXISTS (
        SELECT FROM wa.paused_campaign c WHERE c.session_id = is_paused.session_id AND c.campaign = is_paused.campaign
    );
END $$;
COMMENT ON FUNCTION wa.is_paused(bigint, text) IS 'Whether a campaign is paused, which it stays or not until the caller''s transaction ends.';

-- Runs for every inserted row, so what is right takes the short way, and errors are found out on the long one.
CREATE OR REPLACE FUNCTION wa.outbound_before_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE region text;
BEGIN
    SELECT s.session_id, s.region INTO NEW.session_id, region FROM wa.session s WHERE s.name = NEW.session;
    IF NEW.session_id IS NULL THEN
        NEW.session_id := wa.session_id(NEW.session);
    END IF;
    NEW.chat := CASE WHEN NEW.recipient ~ '^\+?[1-9][0-9]{6,14}$' AND (region IS NULL OR NEW.recipient LIKE '+%')
                     THEN ltrim(NEW.recipient, '+') || '@s.whatsapp.net'
                     ELSE wa.chat_jid(NEW.recipient, region) END;
    IF NEW.kind IS DISTINCT FROM 'text' OR NEW.content IS NOT NULL OR NEW.chat = 'status@broadcast'
        OR coalesce(NEW.body, '') = '' OR octet_length(NEW.body) > 65536
    THEN
        NEW.content := wa.check_message(NEW.session, NEW.kind, NEW.chat, NEW.body, NEW.content);
    END IF;
    IF NEW.message_id IS NULL THEN
        -- As wa.new_message_id, without the call.
        NEW.message_id := '3EB0' || upper(right(gen_random_uuid()::text, 12) || left(gen_random_uuid()::text, 6));
    ELSIF NEW.message_id !~ '^[0-9A-Z]{8,40}$' THEN
        RAISE EXCEPTION 'message_id: "%" is not a WhatsApp message id', left(NEW.message_id, 80)
            USING ERRCODE = 'WA006', COLUMN = 'message_id',
                  HINT = 'Leave it out, or give 8 to 40 digits and capital letters.';
    END IF;
    IF NEW.priority IS DISTINCT FROM 0 OR NEW.max_attempts IS DISTINCT FROM 10
        OR NEW.send_at IS NOT NULL OR NEW.expires_at IS NOT NULL OR NEW.dedupe_key IS NOT NULL OR NEW.campaign IS NOT NULL
    THEN
        PERFORM wa.check_outbound_orders(NEW);
    END IF;
    -- What the worker alone may say.
    NEW.status := 'queued';
    NEW.waits_for := CASE WHEN NEW.send_at > now() THEN 'scheduled' END;
    NEW.run_at := coalesce(NEW.send_at, now());
    IF NEW.campaign IS NOT NULL AND wa.is_paused(NEW.session_id, NEW.campaign) THEN
        NEW.waits_for := 'paused';
    END IF;
    NEW.attempts := 0;
    NEW.errors := '[]';
    NEW.created_at := now();
    IF num_nonnulls(NEW.last_error, NEW.sending_at, NEW.sent_at, NEW.delivered_at, NEW.read_at, NEW.played_at,
                    NEW.failed_at, NEW.cancelled_at, NEW.expired_at) > 0
    THEN
        NEW.last_error := NULL;
        NEW.sending_at := NULL;
        NEW.sent_at := NULL;
        NEW.delivered_at := NULL;
        NEW.read_at := NULL;
        NEW.played_at := NULL;
        NEW.failed_at := NULL;
        NEW.cancelled_at := NULL;
        NEW.expired_at := NULL;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION wa.outbound_before_insert() IS 'Row trigger of wa.outbound: checks every column, fills chat and message_id.';
CREATE OR REPLACE TRIGGER validate BEFORE INSERT ON wa.outbound
    FOR EACH ROW EXECUTE FUNCTION wa.outbound_before_insert();

-- One notification for a session and a status, not for each message: NOTIFY takes a lock that all committing
-- transactions share, and a payload holds some hundred ids.
CREATE OR REPLACE FUNCTION wa.announce_status(sessions text[], ids bigint[], statuses wa.outbound_status[]) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_notify('wa_status', json_build_object('session', session, 'status', status, 'ids', json_agg(id ORDER BY id))::text)
    FROM (
        SELECT *, row_number() OVER (PARTITION BY session, status ORDER BY id) / 300 AS part
        FROM unnest(sessions, ids, statuses) AS changed (session, id, status)
    ) changed
    GROUP BY session, status, part
$$;
COMMENT ON FUNCTION wa.announce_status(text[], bigint[], wa.outbound_status[]) IS 'NOTIFY wa_status with {"session","status","ids":[…]}, a few hundred ids at most in each. Channel wa_status: how messages come along; a status that was passed within a moment is not told of by itself, but its time stands in the row.';

CREATE OR REPLACE FUNCTION wa.withdraw(ids bigint[], as_status wa.outbound_status) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    mine CONSTANT bigint[] := ARRAY(
        SELECT s.id FROM (SELECT DISTINCT o.session_id AS id FROM wa.outbound o WHERE o.id = ANY (withdraw.ids) AND o.live) s
        WHERE wa.sees(s.id)
    );
    ended    bigint[];
    sessions text[];
BEGIN
    PERFORM wa.must_send();
    -- In the order in which claims lock them. A claim that waits for us finds withdrawals changed, and looks again.
    PERFORM FROM wa.sending b WHERE b.session_id = ANY (mine) ORDER BY b.session_id FOR UPDATE;
    WITH changed AS (
        UPDATE wa.outbound o
        SET status = as_status, waits_for = NULL,
            cancelled_at = CASE WHEN as_status = 'cancelled' THEN now() END,
            expired_at = CASE WHEN as_status = 'expired' THEN now() END
        FROM wa.sending b
        WHERE b.session_id = ANY (mine) AND o.session_id = b.session_id AND o.id = ANY (withdraw.ids)
          AND o.status = 'queued' AND o.id <> ALL (b.taken)
        RETURNING o.session_id, o.session, o.id
    ), counted AS (
        UPDATE wa.sending b SET withdrawals = b.withdrawals + 1
        FROM (SELECT DISTINCT session_id FROM changed) c WHERE b.session_id = c.session_id
    )
    SELECT array_agg(changed.id ORDER BY changed.id), array_agg(changed.session ORDER BY changed.id)
    INTO ended, sessions FROM changed;
    IF ended IS NULL THEN
        RETURN '{}';
    END IF;
    PERFORM wa.announce_status(sessions, ended, array_fill(as_status, ARRAY[cardinality(ended)]));
    RETURN ended;
END $$;
COMMENT ON FUNCTION wa.withdraw(bigint[], wa.outbound_status) IS 'Ends queued messages that no worker has in hand as cancelled or expired, and returns their ids. What is on its way stays.';

CREATE OR REPLACE FUNCTION wa.cancel(id bigint) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT cardinality(wa.withdraw(ARRAY[cancel.id], 'cancelled')) = 1
$$;
COMMENT ON FUNCTION wa.cancel(bigint) IS 'Cancels a queued message: true when it will not be sent, false when it is on its way or has ended already. SELECT wa.cancel(42);';

CREATE OR REPLACE FUNCTION wa.cancel_all(session text, recipient text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_session CONSTANT bigint := wa.session_id(cancel_all.session);
    of_chat    CONSTANT text := CASE WHEN recipient IS NOT NULL THEN wa.chat_jid(recipient, wa.region_of(cancel_all.session)) END;
BEGIN
    RETURN cardinality(wa.withdraw(ARRAY(
        SELECT o.id FROM wa.outbound o
        WHERE o.session_id = of_session AND o.live AND (of_chat IS NULL OR o.chat = of_chat)
    ), 'cancelled'));
END $$;
COMMENT ON FUNCTION wa.cancel_all(text, text) IS 'Cancels what a session has queued, all of it or what goes to one recipient; returns how many. What is on its way stays. SELECT wa.cancel_all(''shop'');';

CREATE OR REPLACE FUNCTION wa.retry(id bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    found_session text;
    back          boolean;
BEGIN
    PERFORM wa.must_send();
    UPDATE wa.outbound o
    SET status = 'queued', waits_for = NULL, run_at = now(),
        attempts = CASE WHEN o.live THEN o.attempts ELSE 0 END,
        expires_at = CASE WHEN o.expires_at > now() THEN o.expires_at END,
        failed_at = NULL, cancelled_at = NULL, expired_at = NULL
    FROM wa.outbound was
    WHERE o.id = retry.id AND wa.sees(o.session_id) AND was.session_id = o.session_id AND was.id = o.id
      AND (o.status IN ('failed', 'cancelled', 'expired') OR (o.status = 'queued' AND o.waits_for IS NOT NULL))
    RETURNING o.session, NOT was.live INTO found_session, back;
    IF found_session IS NULL THEN
        RETURN false;
    END IF;
    IF back THEN
        PERFORM wa.announce_status(ARRAY[found_session], ARRAY[retry.id], ARRAY['queued'::wa.outbound_status]);
    END IF;
    PERFORM wa.wake();
    RETURN true;
END $$;
COMMENT ON FUNCTION wa.retry(bigint) IS 'Queues a failed, cancelled or expired message again, with all its attempts and under the same WhatsApp message id; of one that waits (waits_for), tries it at once. False when there is nothing to try. SELECT wa.retry(42);';

CREATE OR REPLACE FUNCTION wa.pause(session text, reason text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM wa.must_send();
    UPDATE wa.session s SET paused_at = coalesce(s.paused_at, now()), paused_reason = pause.reason
    WHERE s.session_id = wa.session_id(pause.session);
END $$;
COMMENT ON FUNCTION wa.pause(text, text) IS 'Holds back what a session has to send; it stays connected and receives. What is on its way goes out. SELECT wa.pause(''shop'', ''campaign stopped'');';

CREATE OR REPLACE FUNCTION wa.resume(session text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM wa.must_send();
    UPDATE wa.session s SET paused_at = NULL, paused_reason = NULL WHERE s.session_id = wa.session_id(resume.session);
    PERFORM wa.wake();
END $$;
COMMENT ON FUNCTION wa.resume(text) IS 'Lets a paused session send again. SELECT wa.resume(''shop'');';

CREATE OR REPLACE FUNCTION wa.pause_tenant(tenant text, reason text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE wa.tenant t SET paused_at = coalesce(t.paused_at, now()), paused_reason = pause_tenant.reason
    WHERE t.tenant = wa.existing_tenant(pause_tenant.tenant);
END $$;
COMMENT ON FUNCTION wa.pause_tenant(text, text) IS 'Holds back what all sessions of a tenant have to send. SELECT wa.pause_tenant(''default'');';

CREATE OR REPLACE FUNCTION wa.resume_tenant(tenant text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE wa.tenant t SET paused_at = NULL, paused_reason = NULL
    WHERE t.tenant = wa.existing_tenant(resume_tenant.tenant);
    PERFORM wa.wake();
END $$;
COMMENT ON FUNCTION wa.resume_tenant(text) IS 'Lets the sessions of a paused tenant send again. SELECT wa.resume_tenant(''default'');';

CREATE OR REPLACE FUNCTION wa.send(
    session text, recipient text, kind text, body text DEFAULT NULL, content jsonb DEFAULT NULL, priority integer DEFAULT 0,
    send_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL, dedupe_key text DEFAULT NULL, max_attempts integer DEFAULT 10
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE made bigint;
BEGIN
    -- A smallint of its own would make every call write 5::smallint.
    IF send.priority NOT BETWEEN -100 AND 100 THEN
        RAISE EXCEPTION 'priority: % is out of range', send.priority
            USING ERRCODE = 'WA011', COLUMN = 'priority', HINT = 'Accepted: -100 to 100; larger goes first.';
    END IF;
    INSERT INTO wa.outbound AS o (session, recipient, kind, body, content, priority, send_at, expires_at, dedupe_key, max_attempts)
    VALUES (send.session, send.recipient, send.kind, send.body, send.content, send.priority, send.send_at, send.expires_at,
            send.dedupe_key, send.max_attempts)
    ON CONFLICT (session_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
    RETURNING o.id INTO made;
    IF made IS NULL THEN
        SELECT o.id INTO made FROM wa.outbound o
        WHERE o.session_id = wa.session_id(send.session) AND o.dedupe_key = send.dedupe_key;
    END IF;
    RETURN made;
END $$;
COMMENT ON FUNCTION wa.send(text, text, text, text, jsonb, integer, timestamptz, timestamptz, text, integer) IS 'Queues a message of any kind and returns the id of its row in wa.outbound; of a dedupe_key that is there already, the first row''s id. wa.send_text and the like do the same for one kind each. SELECT wa.send(''shop'', ''+79001234567'', ''location'', content => ''{"latitude": 52.5, "longitude": 13.4}'');';

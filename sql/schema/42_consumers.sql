-- Named consumers of the inbox (M5): each reads in order, at its own pace, at least once, with no gap.

CREATE OR REPLACE FUNCTION wa.inbox_consumed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- With its owner's rights it must serve no other table: rows of any other would become messages of any consumer.
    IF TG_RELID <> 'wa.inbox'::regclass THEN
        RAISE EXCEPTION 'wa.inbox_consumed is the trigger of wa.inbox alone' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- Only the consumers of the session's tenant, and of all: their number is limited, that of the others' is not.
    INSERT INTO wa.unread (consumer_id, inbox_id)
    SELECT c.consumer_id, n.id
    FROM (SELECT s.tenant, n.session_id, n.id, n.kind FROM stored n JOIN wa.session s USING (session_id)) n
    CROSS JOIN LATERAL (
        SELECT c.consumer_id, c.session_id, c.kinds FROM wa.consumer c WHERE c.tenants @> ARRAY[n.tenant]
        UNION ALL
        SELECT c.consumer_id, c.session_id, c.kinds FROM wa.consumer c WHERE c.tenants IS NULL
    ) c
    WHERE coalesce(c.session_id = n.session_id, true) AND coalesce(n.kind = ANY (c.kinds), true);
    IF EXISTS (SELECT FROM wa.webhook) THEN
        INSERT INTO wa.delivery (webhook_id, event_id, type, source, source_id, session_id, chat, happened_at)
        SELECT l, 'msg_' || n.id, 'message.received', 'inbox', n.id, n.session_id, n.chat, n.received_at
        FROM (SELECT DISTINCT session_id FROM stored) s CROSS JOIN LATERAL wa.listeners(s.session_id, 'message.received') l
        JOIN stored n USING (session_id)
        ORDER BY n.id
        ON CONFLICT (webhook_id, event_id) DO NOTHING;
        IF FOUND THEN
            PERFORM pg_notify('wa_work', 'webhooks');
        END IF;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.inbox_consumed() IS 'Statement trigger of wa.inbox: marks new messages as unread for the consumers that read them, and inserts deliveries for the webhooks that get them.';
CREATE OR REPLACE TRIGGER consumed AFTER INSERT ON wa.inbox
    REFERENCING NEW TABLE AS stored FOR EACH STATEMENT EXECUTE FUNCTION wa.inbox_consumed();

CREATE OR REPLACE FUNCTION wa.consumes(consumer wa.consumer, session_id bigint, kind text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(consumer.session_id = consumes.session_id, true) AND coalesce(consumes.kind = ANY (consumer.kinds), true)
        AND (consumer.tenants IS NULL
             OR (SELECT s.tenant = ANY (consumer.tenants) FROM wa.session s WHERE s.session_id = consumes.session_id))
$$;
COMMENT ON FUNCTION wa.consumes(wa.consumer, bigint, text) IS 'Whether a consumer reads messages of this session and kind.';

-- Names are unique among consumers of the same tenants, so that no tenant learns of another's. A role that sees several
-- tenants means the consumer of all of them, or else the only one of that name.
CREATE OR REPLACE FUNCTION wa.consumer_id(name text) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    own   CONSTANT text[] := wa.consumer_tenants();
    found bigint[];
BEGIN
    SELECT array_agg(c.consumer_id ORDER BY c.tenants IS NOT DISTINCT FROM own DESC) INTO found
    FROM wa.consumer c
    WHERE c.name = consumer_id.name AND (own IS NULL OR c.tenants <@ own);
    IF found IS NULL THEN
        RAISE EXCEPTION 'consumer: no consumer is named %', coalesce('"' || left(consumer_id.name, 80) || '"', 'null')
            USING ERRCODE = 'WA033', COLUMN = 'consumer', HINT = 'Accepted: a name in wa.consumers; SELECT wa.add_consumer(…) adds one.';
    ELSIF cardinality(found) > 1
          AND NOT EXISTS (SELECT FROM wa.consumer c WHERE c.consumer_id = found[1] AND c.tenants IS NOT DISTINCT FROM own) THEN
        RAISE EXCEPTION 'consumer: % consumers of several tenants are named "%"', cardinality(found), left(consumer_id.name, 80)
            USING ERRCODE = 'WA033', COLUMN = 'consumer', HINT = 'Accepted: a name that one consumer has among those of your tenants; call this as a role of the one tenant.';
    END IF;
    RETURN found[1];
END $$;
COMMENT ON FUNCTION wa.consumer_id(text) IS 'The number of the consumer with this name that the caller sees; error WA033 without one.';

CREATE OR REPLACE FUNCTION wa.consumer_tenants() RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN NOT wa.sees_all() THEN ARRAY(SELECT DISTINCT t FROM unnest(wa.my_tenants()) t ORDER BY t) END
$$;
COMMENT ON FUNCTION wa.consumer_tenants() IS 'The tenants of a consumer that the caller adds; null is all.';

-- Being STABLE it sees what the statement sees that calls it.
CREATE OR REPLACE FUNCTION wa.stored_beside(seen pg_snapshot, until bigint) RETURNS SETOF wa.inbox
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT i.* FROM wa.inbox i
    WHERE (i.transaction = ANY (ARRAY(SELECT x::text::bigint FROM pg_snapshot_xip(stored_beside.seen) x))
           OR i.transaction >= pg_snapshot_xmax(stored_beside.seen)::text::bigint)
      AND i.transaction < coalesce(stored_beside.until, 9223372036854775807)
$$;
COMMENT ON FUNCTION wa.stored_beside(pg_snapshot, bigint) IS 'Messages that a snapshot does not see, stored by transactions with numbers below until (null: all).';

-- A consumer takes no lock on wa.inbox, so that adding one holds up no message (R8). A message whose transaction did not
-- see the new consumer has made no row of wa.unread, and is found by the number of its transaction:
--
-- 1. The consumer is added with seen, a snapshot. Whatever it sees is unread or not, as since says.
-- 2. Each later call gives the consumer the messages that its own snapshot sees and seen does not, and then puts that
--    snapshot into seen. So a message is given before it can have been claimed or acknowledged, and never again after.
--    Most of them have a row of wa.unread already, because their transaction did see the consumer.
-- 3. A transaction that did not see the consumer has a number, and got it before the consumer was committed. So if the
--    caller has no number yet, the one that it gets now is larger than all of those (seen_until). Once all transactions
--    before it have ended, nothing is missing, and seen is null from then on.
CREATE OR REPLACE FUNCTION wa.locked_consumer(name text) RETURNS wa.consumer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    -- Asked before the lock, which gives this transaction its number.
    numbered CONSTANT boolean := pg_current_xact_id_if_assigned() IS NOT NULL;
    found_id bigint;
    reader   wa.consumer;
    now_seen pg_snapshot;
BEGIN
    PERFORM wa.must_send();
    found_id := wa.consumer_id(locked_consumer.name);
    -- Nothing of the worker refers to this row, so a consumer may work in its transaction for as long as it likes.
    SELECT c.* INTO reader FROM wa.consumer c WHERE c.consumer_id = found_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'consumer: "%" was dropped', left(locked_consumer.name, 80) USING ERRCODE = 'WA033', COLUMN = 'consumer';
    ELSIF reader.seen IS NULL THEN
        RETURN reader;
    END IF;
    IF reader.seen_until IS NULL AND NOT numbered THEN
        reader.seen_until := pg_current_xact_id()::text::bigint;
    END IF;
    -- One statement, so that the messages and the snapshot fit.
    WITH given AS (
        INSERT INTO wa.unread (consumer_id, inbox_id)
        SELECT reader.consumer_id, i.id FROM wa.stored_beside(reader.seen, reader.seen_until) i
        WHERE wa.consumes(reader, i.session_id, i.kind)
        ON CONFLICT (consumer_id, inbox_id) DO NOTHING
    )
    SELECT pg_current_snapshot() INTO now_seen;
    IF pg_snapshot_xmin(now_seen)::text::bigint >= reader.seen_until THEN
        now_seen := NULL;
        reader.seen_until := NULL;
    END IF;
    UPDATE wa.consumer c SET seen = now_seen, seen_until = reader.seen_until WHERE c.consumer_id = reader.consumer_id
    RETURNING c.* INTO reader;
    RETURN reader;
END $$;
COMMENT ON FUNCTION wa.locked_consumer(text) IS 'The consumer of that name, locked until the transaction ends, with every message that was being stored when it was added; error WA033 when the caller sees none.';

CREATE OR REPLACE FUNCTION wa.add_consumer(name text, session text DEFAULT NULL, kinds text[] DEFAULT NULL, since timestamptz DEFAULT 'infinity') RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    own        CONSTANT text[] := wa.consumer_tenants();
    of_session bigint;
    made       wa.consumer;
BEGIN
    PERFORM wa.must_send();
    IF coalesce(add_consumer.name !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$', true) THEN
        RAISE EXCEPTION 'name: % is not a consumer name', coalesce('"' || left(add_consumer.name, 80) || '"', 'null')
            USING ERRCODE = 'WA033', COLUMN = 'name', HINT = 'Accepted: 1 to 63 of letters, digits, dot, underscore, hyphen; a letter or digit first.';
    END IF;
    IF cardinality(add_consumer.kinds) > 100 OR octet_length(array_to_string(add_consumer.kinds, '')) > 6000 THEN
        RAISE EXCEPTION 'kinds: % kinds are too many', cardinality(add_consumer.kinds)
            USING ERRCODE = 'WA033', COLUMN = 'kinds', HINT = 'Accepted: up to 100 kinds of messages, of 6000 bytes together; null is all kinds.';
    END IF;
    IF add_consumer.session IS NOT NULL THEN
        of_session := wa.session_id(add_consumer.session);
    END IF;
    -- Each stored message is offered to all consumers of its tenant.
    IF (SELECT count(*) FROM wa.consumer c WHERE c.tenants && own OR own IS NULL AND c.tenants IS NULL) >= 100 THEN
        RAISE EXCEPTION 'name: there are 100 consumers already'
            USING ERRCODE = 'WA033', COLUMN = 'name', HINT = 'Accepted: up to 100 consumers for a tenant, and 100 for all tenants; SELECT wa.drop_consumer(…) deletes one.';
    END IF;
    INSERT INTO wa.consumer (name, session_id, kinds, tenants, seen)
    VALUES (add_consumer.name, of_session, add_consumer.kinds, own, pg_current_snapshot())
    ON CONFLICT (name, hash_array_extended(tenants, 0)) DO NOTHING
    RETURNING * INTO made;
    IF made.consumer_id IS NULL THEN
        RAISE EXCEPTION 'name: a consumer "%" exists already', add_consumer.name USING ERRCODE = 'WA033', COLUMN = 'name',
            HINT = 'wa.rewind_consumer lets it read again; wa.drop_consumer deletes it.';
    END IF;
    RETURN wa.fill_consumer(made, add_consumer.since);
END $$;
COMMENT ON FUNCTION wa.add_consumer(text, text, text[], timestamptz) IS 'Adds a named consumer of wa.inbox, of all that the caller sees or of one session, of all kinds or some, from now on or since a moment; returns how many messages it has to read. Each tenant may have a consumer of the same name, and up to 100 consumers. SELECT wa.add_consumer(''crm''); SELECT wa.add_consumer(''orders'', ''shop'', ''{text,image}'', since => ''-infinity'');';

CREATE OR REPLACE FUNCTION wa.fill_consumer(consumer wa.consumer, since timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE many bigint;
BEGIN
    INSERT INTO wa.unread (consumer_id, inbox_id)
    SELECT consumer.consumer_id, i.id FROM wa.inbox i
    WHERE i.received_at >= fill_consumer.since AND wa.consumes(consumer, i.session_id, i.kind)
    -- A message that is stored at this moment may be unread already.
    ON CONFLICT ON CONSTRAINT unread_pkey DO NOTHING;
    GET DIAGNOSTICS many = ROW_COUNT;
    RETURN many;
END $$;
COMMENT ON FUNCTION wa.fill_consumer(wa.consumer, timestamptz) IS 'Makes the messages received since a moment unread for a consumer; returns how many are newly so.';

CREATE OR REPLACE FUNCTION wa.rewind_consumer(name text, since timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE consumer CONSTANT wa.consumer := wa.locked_consumer(rewind_consumer.name);
BEGIN
    DELETE FROM wa.unread u WHERE u.consumer_id = consumer.consumer_id;
    UPDATE wa.consumer c
    SET claimed = '{}', claimed_until = NULL, active_at = now(), paused_at = NULL, paused_reason = NULL
    WHERE c.consumer_id = consumer.consumer_id;
    RETURN wa.fill_consumer(consumer, rewind_consumer.since);
END $$;
COMMENT ON FUNCTION wa.rewind_consumer(text, timestamptz) IS 'Lets a consumer read again, from the messages received since that moment on, acknowledged or not; ''infinity'' skips all that exist. Returns how many messages it has to read. SELECT wa.rewind_consumer(''crm'', now() - interval ''1 hour'');';

CREATE OR REPLACE FUNCTION wa.drop_consumer(name text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE found_id bigint;
BEGIN
    PERFORM wa.must_send();
    found_id := wa.consumer_id(drop_consumer.name);
    -- What it had to read is deleted by retention, in batches.
    DELETE FROM wa.consumer c WHERE c.consumer_id = found_id;
END $$;
COMMENT ON FUNCTION wa.drop_consumer(text) IS 'Deletes a consumer; the messages stay. SELECT wa.drop_consumer(''crm'');';

CREATE OR REPLACE FUNCTION wa.claim_messages(consumer text, most integer DEFAULT 100, seconds integer DEFAULT 60) RETURNS SETOF wa.inbox
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    reader wa.consumer;
    page   bigint[];
    there  bigint[];
BEGIN
    IF most IS NULL OR most NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'most: % is out of range', coalesce(most::text, 'null')
            USING ERRCODE = 'WA033', COLUMN = 'most', HINT = 'Accepted: 1 to 10000.';
    ELSIF seconds IS NULL OR seconds NOT BETWEEN 1 AND 86400 THEN
        RAISE EXCEPTION 'seconds: % is out of range', coalesce(seconds::text, 'null')
            USING ERRCODE = 'WA033', COLUMN = 'seconds', HINT = 'Accepted: 1 to 86400.';
    END IF;
    reader := wa.locked_consumer(claim_messages.consumer);
    PERFORM wa.must_not_be_paused(reader);
    IF cardinality(reader.claimed) > 0 AND reader.claimed_until > clock_timestamp() THEN
        RETURN;
    END IF;
    LOOP
        page := ARRAY(SELECT u.inbox_id FROM wa.unread u WHERE u.consumer_id = reader.consumer_id ORDER BY u.inbox_id LIMIT most);
        -- Only what the consumer reads now: a session may have gone to another tenant meanwhile.
        there := ARRAY(SELECT i.id FROM wa.inbox i WHERE i.id = ANY (page) AND wa.consumes(reader, i.session_id, i.kind) ORDER BY i.id);
        DELETE FROM wa.unread u WHERE u.consumer_id = reader.consumer_id AND u.inbox_id = ANY (page) AND u.inbox_id <> ALL (there);
        EXIT WHEN cardinality(there) > 0 OR cardinality(page) = 0;
    END LOOP;
    UPDATE wa.consumer c SET claimed = there, claimed_until = clock_timestamp() + seconds * interval '1 second', active_at = now()
    WHERE c.consumer_id = reader.consumer_id AND (cardinality(there) > 0 OR cardinality(c.claimed) > 0);
    RETURN QUERY SELECT i.* FROM wa.inbox i WHERE i.id = ANY (there) ORDER BY i.id;
END $$;
COMMENT ON FUNCTION wa.claim_messages(text, integer, integer) IS 'Returns the next messages of a consumer, oldest first. Returns none while its last claim is neither acknowledged nor overdue: after so many seconds those messages are returned again. Other claims for the same consumer wait until this transaction ends. LISTEN wa_inbound announces new messages. SELECT * FROM wa.claim_messages(''crm'');';

CREATE OR REPLACE FUNCTION wa.acknowledge_messages(consumer text, ids bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    reader CONSTANT wa.consumer := wa.locked_consumer(acknowledge_messages.consumer);
    many   bigint;
BEGIN
    DELETE FROM wa.unread u WHERE u.consumer_id = reader.consumer_id AND u.inbox_id = ANY (ids);
    GET DIAGNOSTICS many = ROW_COUNT;
    UPDATE wa.consumer c
    SET claimed = ARRAY(SELECT claimed.id FROM unnest(c.claimed) WITH ORDINALITY AS claimed (id, place) WHERE claimed.id <> ALL (ids) ORDER BY claimed.place)
    WHERE c.consumer_id = reader.consumer_id AND c.claimed && ids;
    RETURN many;
END $$;
COMMENT ON FUNCTION wa.acknowledge_messages(text, bigint[]) IS 'Marks messages (wa.inbox.id) as done for a consumer: they are not returned again. Returns how many of them it had still to read. In the transaction of the consumer''s own work, that work is done exactly once. SELECT wa.acknowledge_messages(''crm'', ''{41,42}'');';

CREATE OR REPLACE VIEW wa.consumers WITH (security_invoker = true) AS
SELECT c.name, s.name AS session, c.kinds, waiting.count AS unread, i.received_at AS oldest, cardinality(c.claimed) AS claimed, c.claimed_until,
       c.paused_at, c.paused_reason, c.tenants
FROM wa.consumer c
LEFT JOIN wa.session s USING (session_id)
CROSS JOIN LATERAL (SELECT count(*), min(u.inbox_id) AS first FROM wa.unread u WHERE u.consumer_id = c.consumer_id) waiting
LEFT JOIN LATERAL (SELECT i.received_at FROM wa.inbox i WHERE i.id = waiting.first) i ON true;
COMMENT ON VIEW wa.consumers IS 'Consumers of the inbox, and the backlog of each.';
COMMENT ON COLUMN wa.consumers.name IS 'Name of the consumer.';
COMMENT ON COLUMN wa.consumers.session IS 'The session that the consumer reads; null is all.';
COMMENT ON COLUMN wa.consumers.kinds IS 'Kinds that the consumer reads; null is all.';
COMMENT ON COLUMN wa.consumers.unread IS 'Messages that the consumer has yet to acknowledge.';
COMMENT ON COLUMN wa.consumers.oldest IS 'When the oldest of these was received.';
COMMENT ON COLUMN wa.consumers.claimed IS 'Messages that the consumer has claimed and not acknowledged.';
COMMENT ON COLUMN wa.consumers.claimed_until IS 'Until when these are not returned again.';
COMMENT ON COLUMN wa.consumers.paused_at IS 'Since when the consumer is paused; null is not. wa.rewind_consumer ends it.';
COMMENT ON COLUMN wa.consumers.paused_reason IS 'Why.';
COMMENT ON COLUMN wa.consumers.tenants IS 'Tenants whose messages the consumer reads; null is all.';

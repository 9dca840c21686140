-- Named consumers of the inbox (M5): each reads in order, at its own pace, at least once, with no gap.

CREATE OR REPLACE FUNCTION wa.inbox_consumed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO wa.unread (consumer_id, inbox_id)
    SELECT c.consumer_id, n.id FROM stored n JOIN wa.consumer c ON wa.consumes(c, n.session_id, n.kind);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.inbox_consumed() IS 'Statement trigger of wa.inbox: marks new messages as unread for the consumers that read them.';
CREATE OR REPLACE TRIGGER consumed AFTER INSERT ON wa.inbox
    REFERENCING NEW TABLE AS stored FOR EACH STATEMENT EXECUTE FUNCTION wa.inbox_consumed();

CREATE OR REPLACE FUNCTION wa.consumes(consumer wa.consumer, session_id bigint, kind text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(consumer.session_id = consumes.session_id, true) AND coalesce(consumes.kind = ANY (consumer.kinds), true)
        AND (consumer.tenants IS NULL
             OR (SELECT s.tenant = ANY (consumer.tenants) FROM wa.session s WHERE s.session_id = consumes.session_id))
$$;
COMMENT ON FUNCTION wa.consumes(wa.consumer, bigint, text) IS 'Whether a consumer reads messages of this session and kind.';

CREATE OR REPLACE FUNCTION wa.locked_consumer(name text) RETURNS wa.consumer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE reader wa.consumer;
BEGIN
    PERFORM wa.must_send();
    SELECT c.* INTO reader FROM wa.consumer c
    WHERE c.name = locked_consumer.name AND (wa.sees_all() OR c.tenants <@ wa.my_tenants())
    -- A stronger lock would block the storing of new messages, which refer to this row, while a consumer works in its
    -- transaction.
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'consumer: no consumer is named %', coalesce('"' || left(locked_consumer.name, 80) || '"', 'null')
            USING ERRCODE = 'WA033', COLUMN = 'consumer', HINT = 'Accepted: a name in wa.consumers; SELECT wa.add_consumer(…) adds one.';
    END IF;
    RETURN reader;
END $$;
COMMENT ON FUNCTION wa.locked_consumer(text) IS 'The consumer of that name, locked until the transaction ends; error WA033 when the caller sees none.';

CREATE OR REPLACE FUNCTION wa.add_consumer(name text, session text DEFAULT NULL, kinds text[] DEFAULT NULL, since timestamptz DEFAULT 'infinity') RETURNS bigint
-- While it waits for its table lock, nobody stores messages, so the wait is short.
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    of_session bigint;
    made       bigint;
BEGIN
    PERFORM wa.must_send();
    IF coalesce(add_consumer.name !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$', true) THEN
        RAISE EXCEPTION 'name: % is not a consumer name', coalesce('"' || left(add_consumer.name, 80) || '"', 'null')
            USING ERRCODE = 'WA033', COLUMN = 'name', HINT = 'Accepted: 1 to 63 of letters, digits, dot, underscore, hyphen; a letter or digit first.';
    END IF;
    IF add_consumer.session IS NOT NULL THEN
        of_session := wa.session_id(add_consumer.session);
    END IF;
    -- A transaction that is storing messages does not see the new consumer, so this waits for it; later ones see it.
    LOCK TABLE wa.inbox IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO wa.consumer (name, session_id, kinds, tenants)
    VALUES (add_consumer.name, of_session, add_consumer.kinds, CASE WHEN NOT wa.sees_all() THEN wa.my_tenants() END)
    ON CONFLICT ON CONSTRAINT consumer_name_key DO NOTHING
    RETURNING consumer_id INTO made;
    IF made IS NULL THEN
        RAISE EXCEPTION 'name: a consumer "%" exists already', add_consumer.name USING ERRCODE = 'WA033', COLUMN = 'name',
            HINT = 'wa.rewind_consumer lets it read again; wa.drop_consumer deletes it.';
    END IF;
    RETURN wa.rewind_consumer(add_consumer.name, add_consumer.since);
END $$;
COMMENT ON FUNCTION wa.add_consumer(text, text, text[], timestamptz) IS 'Adds a named consumer of wa.inbox, of all that the caller sees or of one session, of all kinds or some, from now on or since a moment; returns how many messages it has to read. SELECT wa.add_consumer(''crm''); SELECT wa.add_consumer(''orders'', ''shop'', ''{text,image}'', since => ''-infinity'');';

CREATE OR REPLACE FUNCTION wa.rewind_consumer(name text, since timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    consumer CONSTANT wa.consumer := wa.locked_consumer(rewind_consumer.name);
    many     bigint;
BEGIN
    DELETE FROM wa.unread u WHERE u.consumer_id = consumer.consumer_id;
    INSERT INTO wa.unread (consumer_id, inbox_id)
    SELECT consumer.consumer_id, i.id FROM wa.inbox i
    WHERE i.received_at >= rewind_consumer.since AND wa.consumes(consumer, i.session_id, i.kind);
    GET DIAGNOSTICS many = ROW_COUNT;
    UPDATE wa.consumer c SET claimed = '{}', claimed_until = NULL WHERE c.consumer_id = consumer.consumer_id;
    RETURN many;
END $$;
COMMENT ON FUNCTION wa.rewind_consumer(text, timestamptz) IS 'Lets a consumer read again, from the messages received since that moment on, acknowledged or not; ''infinity'' skips all that exist. Returns how many messages it has to read. SELECT wa.rewind_consumer(''crm'', now() - interval ''1 hour'');';

CREATE OR REPLACE FUNCTION wa.drop_consumer(name text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE consumer CONSTANT wa.consumer := wa.locked_consumer(drop_consumer.name);
BEGIN
    DELETE FROM wa.consumer c WHERE c.consumer_id = consumer.consumer_id;
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
    IF cardinality(reader.claimed) > 0 AND reader.claimed_until > clock_timestamp() THEN
        RETURN;
    END IF;
    LOOP
        page := ARRAY(SELECT u.inbox_id FROM wa.unread u WHERE u.consumer_id = reader.consumer_id ORDER BY u.inbox_id LIMIT most);
        there := ARRAY(SELECT i.id FROM wa.inbox i WHERE i.id = ANY (page) ORDER BY i.id);
        DELETE FROM wa.unread u WHERE u.consumer_id = reader.consumer_id AND u.inbox_id = ANY (page) AND u.inbox_id <> ALL (there);
        EXIT WHEN cardinality(there) > 0 OR cardinality(page) = 0;
    END LOOP;
    UPDATE wa.consumer c SET claimed = there, claimed_until = clock_timestamp() + seconds * interval '1 second'
    WHERE c.consumer_id = reader.consumer_id AND (cardinality(there) > 0 OR cardinality(c.claimed) > 0);
    RETURN QUERY SELECT i.* FROM wa.inbox i WHERE i.id = ANY (there) ORDER BY i.id;
END $$;
COMMENT ON FUNCTION wa.claim_messages(text, integer, integer) IS 'Returns the next messages of a consumer, oldest first. Returns none while its last claim is neither acknowledged nor overdue: after so many seconds those messages are returned again. SELECT * FROM wa.claim_messages(''crm''); Other claims for the same consumer wait until this transaction ends. LISTEN wa_inbound announces new messages.';

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
SELECT c.name, s.name AS session, c.kinds, waiting.count AS unread, i.received_at AS oldest, cardinality(c.claimed) AS claimed, c.claimed_until
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

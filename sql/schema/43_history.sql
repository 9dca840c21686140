-- One history of each chat (M7).

-- WhatsApp tells the second in which a message was sent, so a second may have several. Within it messages stand as they
-- arrived here: at is sent_at with the fraction of a second that the arrival gives, and id breaks ties (see wa.chat_page).
CREATE OR REPLACE VIEW wa.history WITH (security_invoker = on) AS
SELECT o.session_id, o.chat, o.sent_at, o.session, true AS from_me, NULL::text AS sender, o.message_id, o.kind, o.body,
       o.content ->> 'quote' AS quoted_id, o.content ->> 'message_id' AS target_id, o.status, o.id AS outbound_id, NULL::bigint AS inbox_id,
       o.sent_at AS at, 'o' || o.id AS id, NULL::text AS push_name, NULL::jsonb AS media
FROM wa.outbound o
WHERE o.sent_at IS NOT NULL AND o.kind NOT IN ('read', 'chat_state')
UNION ALL
SELECT i.session_id, i.chat, i.sent_at, i.session, i.from_me, i.sender, i.message_id, i.kind, i.body,
       i.quoted_id, i.target_id, NULL::wa.outbound_status, NULL::bigint, i.id,
       greatest(i.sent_at, least(i.received_at, i.sent_at + interval '999999 microseconds')), 'i' || i.id, i.push_name, i.media
FROM wa.inbox i
-- Edits and revocations by strangers change nothing.
WHERE i.author_matches IS NOT FALSE OR i.by_admin
UNION ALL
SELECT p.session_id, p.chat, p.sent_at, p.session, p.from_me, p.sender, p.message_id, p.kind, p.body,
       p.quoted_id, p.target_id, NULL::wa.outbound_status, NULL::bigint, NULL::bigint, p.sent_at, 'p' || p.id, p.push_name, NULL::jsonb
FROM wa.past p;
COMMENT ON VIEW wa.history IS 'Sent and received messages of each chat, and messages from before the link where wa.keep_past keeps them; without edits and revocations of messages that their sender did not write. wa.chat_history reads one chat, wa.search finds words.';
COMMENT ON COLUMN wa.history.session_id IS 'The session.';
COMMENT ON COLUMN wa.history.chat IS 'JID of the conversation.';
COMMENT ON COLUMN wa.history.sent_at IS 'When the server got the message.';
COMMENT ON COLUMN wa.history.session IS 'Name of the session.';
COMMENT ON COLUMN wa.history.from_me IS 'Whether the account wrote the message, from here or another of its devices.';
COMMENT ON COLUMN wa.history.sender IS 'JID of the author; null for messages sent from here.';
COMMENT ON COLUMN wa.history.message_id IS 'WhatsApp message id.';
COMMENT ON COLUMN wa.history.kind IS 'Kind of message, as in wa.inbox and wa.outbound.';
COMMENT ON COLUMN wa.history.body IS 'Text, caption, question, emoji of a reaction, or new words of an edit.';
COMMENT ON COLUMN wa.history.quoted_id IS 'message_id of the message that this one answers.';
COMMENT ON COLUMN wa.history.target_id IS 'message_id of the message that a reaction, edit, revocation or vote changes.';
COMMENT ON COLUMN wa.history.status IS 'Progress of a message sent from here; null for a received one.';
COMMENT ON COLUMN wa.history.outbound_id IS 'Row in wa.outbound, for a message sent from here.';
COMMENT ON COLUMN wa.history.inbox_id IS 'Row in wa.inbox, for a received message.';
COMMENT ON COLUMN wa.history.at IS 'sent_at with the fraction of a second that the arrival gives: messages of the same second stand in the order of arrival.';
COMMENT ON COLUMN wa.history.id IS 'Name of the row, for wa.chat_history: o42 is row 42 of wa.outbound, i42 of wa.inbox, p42 of wa.past.';
COMMENT ON COLUMN wa.history.push_name IS 'Name that the sender shows; null for messages sent from here.';
COMMENT ON COLUMN wa.history.media IS 'Of a received message with a file: {"mime", "size", "file_name", "seconds"}.';

CREATE OR REPLACE FUNCTION wa.check_most(most integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF most < 0 THEN
        RAISE EXCEPTION 'most: % is out of range', most
            USING ERRCODE = 'WA011', COLUMN = 'most', HINT = 'Accepted: 0 or more; null is no limit.';
    END IF;
END $$;
COMMENT ON FUNCTION wa.check_most(integer) IS 'Refuses a negative number of rows; error WA011.';

-- Each table gives its own page along its index; the view would read and sort the whole chat.
CREATE OR REPLACE FUNCTION wa.chat_page(session_id bigint, chat text, at timestamptz, id text, most integer) RETURNS SETOF wa.history
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    until  CONSTANT timestamptz := coalesce(chat_page.at, 'infinity');
    -- The order of the tables within the same microsecond; 0 leaves out all of that moment.
    place  CONSTANT integer := coalesce(position(left(chat_page.id, 1) IN 'iop'), 0);
    number CONSTANT bigint := coalesce(substr(chat_page.id, 2)::bigint, 0);
BEGIN
    RETURN QUERY
    SELECT * FROM (
        -- Messages sent from here, in the order of their ids; that of the moments is the same, except for those apart.
        -- By their ids and no join, for which the planner would read all messages.
        (SELECT h.* FROM wa.history h
         WHERE h.outbound_id IS NOT NULL AND h.outbound_id = ANY (ARRAY(
             (SELECT o.id FROM wa.outbound o
              WHERE o.session_id = chat_page.session_id AND o.chat = chat_page.chat AND NOT o.apart
                AND o.sent_at IS NOT NULL AND o.kind NOT IN ('read', 'chat_state') AND (o.sent_at, 2, o.id) < (until, place, number)
              ORDER BY o.id DESC LIMIT chat_page.most)
             UNION ALL
             (SELECT o.id FROM wa.outbound o
              WHERE o.session_id = chat_page.session_id AND o.chat = chat_page.chat AND o.apart
                AND o.sent_at IS NOT NULL AND o.kind NOT IN ('read', 'chat_state') AND (o.sent_at, 2, o.id) < (until, place, number)
              ORDER BY o.sent_at DESC, o.id DESC LIMIT chat_page.most))))
        UNION ALL
        (SELECT h.* FROM wa.history h
         WHERE h.inbox_id IS NOT NULL AND h.session_id = chat_page.session_id AND h.chat = chat_page.chat
           AND h.sent_at <= until AND (h.at, 1, h.inbox_id) < (until, place, number)
         ORDER BY h.sent_at DESC, h.at DESC, h.inbox_id DESC LIMIT chat_page.most)
        UNION ALL
        -- As in the view, of which no condition names these rows alone.
        (SELECT p.session_id, p.chat, p.sent_at, p.session, p.from_me, p.sender, p.message_id, p.kind, p.body,
                p.quoted_id, p.target_id, NULL, NULL, NULL, p.sent_at, 'p' || p.id, p.push_name, NULL
         FROM wa.past p
         WHERE p.session_id = chat_page.session_id AND p.chat = chat_page.chat
           AND p.sent_at <= until AND (p.sent_at, 3, p.id) < (until, place, number)
         ORDER BY p.sent_at DESC, p.id DESC LIMIT chat_page.most)
    ) h
    ORDER BY h.at DESC, position(left(h.id, 1) IN 'iop') DESC, substr(h.id, 2)::bigint DESC
    LIMIT chat_page.most;
END $$;
COMMENT ON FUNCTION wa.chat_page(bigint, text, timestamptz, text, integer) IS 'A page of a chat, newest first: what stands before the message with this at and id of wa.history; without an id what is older than at, without both the newest.';

CREATE OR REPLACE FUNCTION wa.chat_history(session text, recipient text, before timestamptz DEFAULT NULL, most integer DEFAULT 100, before_id text DEFAULT NULL) RETURNS SETOF wa.history
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    of_session CONSTANT bigint := wa.session_id(chat_history.session);
    of_chat    CONSTANT text := wa.chat_jid(chat_history.recipient, wa.region_of(chat_history.session));
    number     CONSTANT bigint := substring(chat_history.before_id FROM '^[iop]([0-9]{1,18})$')::bigint;
    from_at    timestamptz := chat_history.before;
BEGIN
    PERFORM wa.check_most(chat_history.most);
    IF chat_history.before_id IS NOT NULL THEN
        CASE left(chat_history.before_id, 1)
            WHEN 'o' THEN
                SELECT h.at INTO from_at FROM wa.history h WHERE h.session_id = of_session AND h.chat = of_chat AND h.outbound_id = number;
            WHEN 'i' THEN
                SELECT h.at INTO from_at FROM wa.history h WHERE h.session_id = of_session AND h.chat = of_chat AND h.inbox_id = number;
            ELSE
                SELECT p.sent_at INTO from_at FROM wa.past p WHERE p.session_id = of_session AND p.chat = of_chat AND p.id = number;
        END CASE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'before_id: this chat has no message "%"', left(chat_history.before_id, 80)
                USING ERRCODE = 'WA011', COLUMN = 'before_id',
                      HINT = 'Accepted: the id of a row of wa.history in the same chat. If retention has deleted it, pass its at as before.';
        END IF;
    END IF;
    RETURN QUERY SELECT * FROM wa.chat_page(of_session, of_chat, from_at, chat_history.before_id, chat_history.most);
END $$;
COMMENT ON FUNCTION wa.chat_history(text, text, timestamptz, integer, text) IS 'The last messages of a chat, newest first, or those before a moment. For the page before, pass the id of the last row as before_id: SELECT * FROM wa.chat_history(''shop'', ''+79001234567''); SELECT * FROM wa.chat_history(''shop'', ''+79001234567'', before_id => ''i42'');';

-- With its owner's rights: under row-level security Postgres uses no index for words, because the comparison is not leakproof.
CREATE OR REPLACE FUNCTION wa.search(words text, session text DEFAULT NULL, recipient text DEFAULT NULL, most integer DEFAULT 100) RETURNS SETOF wa.history
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    query    CONSTANT tsquery := websearch_to_tsquery('simple', search.words);
    of_chat  CONSTANT text := CASE WHEN search.recipient IS NOT NULL THEN wa.chat_jid(search.recipient, wa.region_of(search.session)) END;
    -- Null is all sessions.
    sessions CONSTANT bigint[] := CASE
        WHEN search.session IS NOT NULL THEN ARRAY[wa.session_id(search.session)]
        WHEN NOT wa.sees_all() THEN ARRAY(SELECT s.session_id FROM wa.session s WHERE s.tenant = ANY (wa.my_tenants())) END;
BEGIN
    PERFORM wa.check_most(search.most);
    RETURN QUERY
    SELECT * FROM wa.history h
    WHERE to_tsvector('simple', h.body) @@ query AND (sessions IS NULL OR h.session_id = ANY (sessions)) AND h.chat = coalesce(of_chat, h.chat)
    ORDER BY h.sent_at DESC, h.at DESC LIMIT search.most;
END $$;
COMMENT ON FUNCTION wa.search(text, text, text, integer) IS 'Messages with these words, newest first: all of them, "a phrase", one or another, and not -this. docs/messages.md has the indexes that make it fast. SELECT * FROM wa.search(''invoice -paid'', ''shop'');';

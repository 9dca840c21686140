-- One history of each chat (M7).

CREATE OR REPLACE VIEW wa.history WITH (security_invoker = on) AS
SELECT o.session_id, o.chat, o.sent_at, o.session, true AS from_me, NULL::text AS sender, o.message_id, o.kind, o.body,
       o.content ->> 'quote' AS quoted_id, o.content ->> 'message_id' AS target_id, o.status, o.id AS outbound_id, NULL::bigint AS inbox_id
FROM wa.outbound o
WHERE o.sent_at IS NOT NULL AND o.kind NOT IN ('read', 'chat_state')
UNION ALL
SELECT i.session_id, i.chat, i.sent_at, i.session, i.from_me, i.sender, i.message_id, i.kind, i.body,
       i.quoted_id, i.target_id, NULL::wa.outbound_status, NULL::bigint, i.id
FROM wa.inbox i
-- Edits and revocations by strangers change nothing.
WHERE i.author_matches IS NOT FALSE OR i.by_admin
UNION ALL
SELECT p.session_id, p.chat, p.sent_at, p.session, p.from_me, p.sender, p.message_id, p.kind, p.body,
       p.quoted_id, p.target_id, NULL::wa.outbound_status, NULL::bigint, NULL::bigint
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

CREATE OR REPLACE FUNCTION wa.check_most(most integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF most < 0 THEN
        RAISE EXCEPTION 'most: % is out of range', most
            USING ERRCODE = 'WA011', COLUMN = 'most', HINT = 'Accepted: 0 or more; null is no limit.';
    END IF;
END $$;
COMMENT ON FUNCTION wa.check_most(integer) IS 'Refuses a negative number of rows; error WA011.';

CREATE OR REPLACE FUNCTION wa.chat_history(session text, recipient text, before timestamptz DEFAULT NULL, most integer DEFAULT 100) RETURNS SETOF wa.history
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    of_session CONSTANT bigint := wa.session_id(chat_history.session);
    of_chat    CONSTANT text := wa.chat_jid(chat_history.recipient, wa.region_of(chat_history.session));
BEGIN
    PERFORM wa.check_most(chat_history.most);
    RETURN QUERY
    SELECT * FROM wa.history h
    WHERE h.session_id = of_session AND h.chat = of_chat AND h.sent_at < coalesce(chat_history.before, 'infinity')
    ORDER BY h.sent_at DESC LIMIT chat_history.most;
END $$;
COMMENT ON FUNCTION wa.chat_history(text, text, timestamptz, integer) IS 'The last messages of a chat, newest first; for the page before, pass the sent_at of the last one as before. SELECT * FROM wa.chat_history(''shop'', ''+79001234567'');';

CREATE OR REPLACE FUNCTION wa.search(words text, session text DEFAULT NULL, recipient text DEFAULT NULL, most integer DEFAULT 100) RETURNS SETOF wa.history
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    query      CONSTANT tsquery := websearch_to_tsquery('simple', search.words);
    of_session CONSTANT bigint := CASE WHEN search.session IS NOT NULL THEN wa.session_id(search.session) END;
    of_chat    CONSTANT text := CASE WHEN search.recipient IS NOT NULL THEN wa.chat_jid(search.recipient, wa.region_of(search.session)) END;
BEGIN
    PERFORM wa.check_most(search.most);
    RETURN QUERY
    SELECT * FROM wa.history h
    WHERE to_tsvector('simple', h.body) @@ query AND h.session_id = coalesce(of_session, h.session_id) AND h.chat = coalesce(of_chat, h.chat)
    ORDER BY h.sent_at DESC LIMIT search.most;
END $$;
COMMENT ON FUNCTION wa.search(text, text, text, integer) IS 'Messages with these words, newest first: all of them, "a phrase", one or another, and not -this. docs/messages.md has the indexes that make it fast. SELECT * FROM wa.search(''invoice -paid'', ''shop'');';

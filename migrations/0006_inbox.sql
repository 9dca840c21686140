-- Received messages and their readers. A message is committed here before WhatsApp gets its acknowledgement (M4).

CREATE TABLE wa.inbox (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    session     text NOT NULL,
    session_id  bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    chat        text NOT NULL,
    sender      text NOT NULL,
    message_id  text NOT NULL,
    kind        text NOT NULL,
    body        text,
    from_me     boolean NOT NULL,
    push_name   text,
    sent_at     timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    message     jsonb NOT NULL,
    quoted_id   text,
    target_id   text,
    choices     text[],
    media       jsonb,
    media_id    bigint REFERENCES wa.media ON DELETE SET NULL,
    PRIMARY KEY (session_id, id),
    UNIQUE (session_id, chat, sender, message_id)
);
CREATE INDEX inbox_id ON wa.inbox (id);
CREATE INDEX inbox_history ON wa.inbox (session_id, chat, sent_at);
CREATE INDEX inbox_media ON wa.inbox (media_id) WHERE media_id IS NOT NULL;
COMMENT ON TABLE wa.inbox IS 'Received messages, each exactly once. LISTEN wa_inbound announces new rows as {"session","id","chat","message_id","from_me"}.';
COMMENT ON COLUMN wa.inbox.id IS 'Number of the message, in the order of arrival.';
COMMENT ON COLUMN wa.inbox.session IS 'Name of the session that received the message.';
COMMENT ON COLUMN wa.inbox.session_id IS 'The session that received the message.';
COMMENT ON COLUMN wa.inbox.chat IS 'JID of the conversation; one-to-one it is the other side''s phone number as user@s.whatsapp.net where that is known.';
COMMENT ON COLUMN wa.inbox.sender IS 'JID of the author, without device.';
COMMENT ON COLUMN wa.inbox.message_id IS 'WhatsApp message id; unique within (session, chat, sender).';
COMMENT ON COLUMN wa.inbox.kind IS 'text, image, video, audio, voice, document, sticker, location, contact, poll; reaction, edit, revoke, poll_vote (see target_id); else the name of the protocol''s field.';
COMMENT ON COLUMN wa.inbox.body IS 'Text, caption, question, emoji of a reaction, or new words of an edit.';
COMMENT ON COLUMN wa.inbox.from_me IS 'Whether the account''s owner wrote the message, on the phone or another linked device.';
COMMENT ON COLUMN wa.inbox.push_name IS 'Name that the sender shows.';
COMMENT ON COLUMN wa.inbox.sent_at IS 'When the message was sent, by the server''s clock.';
COMMENT ON COLUMN wa.inbox.received_at IS 'When the row was inserted.';
COMMENT ON COLUMN wa.inbox.message IS 'The whole decrypted message as JSON; bytes as base64 text.';
COMMENT ON COLUMN wa.inbox.quoted_id IS 'message_id of the message that this one answers.';
COMMENT ON COLUMN wa.inbox.target_id IS 'message_id of the message that a reaction, edit, revocation or vote changes.';
COMMENT ON COLUMN wa.inbox.choices IS 'Options that a poll_vote chooses, none when the vote is withdrawn. The last vote of a sender counts. Null when the poll is unknown.';
COMMENT ON COLUMN wa.inbox.media IS 'Of a message with a file: {"mime", "size", "file_name", "seconds"}, as given by the sender.';
COMMENT ON COLUMN wa.inbox.media_id IS 'The file in wa.media, once wa.download or a rule of wa.download_rule has downloaded it.';
ALTER TABLE wa.inbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.inbox
    USING ((SELECT wa.sees_all()) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = inbox.session_id));

-- Messages from before a session was linked (M7).
CREATE TABLE wa.past (
    session_id bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    session    text NOT NULL,
    chat       text NOT NULL,
    sender     text NOT NULL,
    message_id text NOT NULL,
    kind       text NOT NULL,
    body       text,
    from_me    boolean NOT NULL,
    push_name  text,
    sent_at    timestamptz NOT NULL,
    message    jsonb NOT NULL,
    quoted_id  text,
    target_id  text,
    PRIMARY KEY (session_id, chat, sender, message_id)
);
CREATE INDEX past_history ON wa.past (session_id, chat, sent_at);
COMMENT ON TABLE wa.past IS 'Messages from before a session was linked, as far as its phone sent them, for sessions with wa.keep_past. wa.history includes them.';
COMMENT ON COLUMN wa.past.session_id IS 'The session.';
COMMENT ON COLUMN wa.past.session IS 'Name of the session.';
COMMENT ON COLUMN wa.past.chat IS 'JID of the conversation.';
COMMENT ON COLUMN wa.past.sender IS 'JID of the author.';
COMMENT ON COLUMN wa.past.message_id IS 'WhatsApp message id.';
COMMENT ON COLUMN wa.past.kind IS 'Kind of message, as in wa.inbox.';
COMMENT ON COLUMN wa.past.body IS 'Text, caption, question, emoji of a reaction, or new words of an edit.';
COMMENT ON COLUMN wa.past.from_me IS 'Whether the account wrote the message.';
COMMENT ON COLUMN wa.past.push_name IS 'Name that the sender showed.';
COMMENT ON COLUMN wa.past.sent_at IS 'When the message was sent.';
COMMENT ON COLUMN wa.past.message IS 'The whole message.';
COMMENT ON COLUMN wa.past.quoted_id IS 'message_id of the message that this one answers.';
COMMENT ON COLUMN wa.past.target_id IS 'message_id of the message that this one changes.';
ALTER TABLE wa.past ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.past
    USING ((SELECT wa.sees_all()) OR session_id IN (SELECT s.session_id FROM wa.session s));

-- Named consumers of the inbox (M5).
CREATE TABLE wa.consumer (
    consumer_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL UNIQUE,
    session_id    bigint REFERENCES wa.session ON DELETE CASCADE,
    kinds         text[],
    tenants       text[],
    claimed       bigint[] NOT NULL DEFAULT '{}',
    claimed_until timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT consumer_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$')
);
CREATE INDEX consumer_session ON wa.consumer (session_id) WHERE session_id IS NOT NULL;
COMMENT ON TABLE wa.consumer IS 'Readers of wa.inbox, each at its own pace. Added by wa.add_consumer; wa.consumers shows the backlog of each.';
COMMENT ON COLUMN wa.consumer.consumer_id IS 'Number of the consumer.';
COMMENT ON COLUMN wa.consumer.name IS 'Name; 1 to 63 of letters, digits, dot, underscore, hyphen.';
COMMENT ON COLUMN wa.consumer.session_id IS 'The session that the consumer reads; null is all that it sees.';
COMMENT ON COLUMN wa.consumer.kinds IS 'Kinds of messages that the consumer reads; null is all.';
COMMENT ON COLUMN wa.consumer.tenants IS 'Tenants whose messages the consumer reads: those of the role that added it; null is all.';
COMMENT ON COLUMN wa.consumer.claimed IS 'wa.inbox.id of the messages that the consumer has claimed and not acknowledged.';
COMMENT ON COLUMN wa.consumer.claimed_until IS 'Until when nobody else can claim them.';
COMMENT ON COLUMN wa.consumer.created_at IS 'When the consumer was added.';
ALTER TABLE wa.consumer ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.consumer USING ((SELECT wa.sees_all()) OR tenants <@ (SELECT wa.my_tenants())::text[]);

-- The transaction that stores a message makes these rows. A position among the ids of wa.inbox would not do: ids do not
-- become visible in their order, so it would miss messages that are committed late.
CREATE TABLE wa.unread (
    consumer_id bigint NOT NULL REFERENCES wa.consumer ON DELETE CASCADE,
    inbox_id    bigint NOT NULL,
    PRIMARY KEY (consumer_id, inbox_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
COMMENT ON TABLE wa.unread IS 'Messages that each consumer has yet to acknowledge.';
COMMENT ON COLUMN wa.unread.consumer_id IS 'The consumer.';
COMMENT ON COLUMN wa.unread.inbox_id IS 'wa.inbox.id of the message. A message that was deleted, by retention or with its session, is skipped.';
ALTER TABLE wa.unread ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.unread
    USING ((SELECT wa.sees_all()) OR EXISTS (SELECT FROM wa.consumer c WHERE c.consumer_id = unread.consumer_id));

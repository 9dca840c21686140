-- Received messages and their readers. A message is committed here before WhatsApp gets its acknowledgement (M4).

CREATE TABLE wa.inbox (
    id             bigint GENERATED ALWAYS AS IDENTITY,
    session        text NOT NULL,
    session_id     bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    chat           text NOT NULL,
    sender         text NOT NULL,
    message_id     text NOT NULL,
    kind           text NOT NULL,
    body           text,
    from_me        boolean NOT NULL,
    push_name      text,
    sent_at        timestamptz NOT NULL,
    received_at    timestamptz NOT NULL DEFAULT now(),
    message        jsonb NOT NULL,
    quoted_id      text,
    target_id      text,
    choices        text[],
    author_matches boolean,
    by_admin       boolean,
    media          jsonb,
    media_id       bigint REFERENCES wa.media ON DELETE SET NULL,
    transaction    bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    PRIMARY KEY (session_id, id),
    -- Readers compute with these moments, and their calendars have no infinity.
    CONSTRAINT inbox_times_check CHECK (least(sent_at, received_at) > '-infinity' AND greatest(sent_at, received_at) < '10000-01-01Z'),
    -- In this order because messages refer to others of their chat by the id alone.
    UNIQUE (session_id, chat, message_id, sender)
);
CREATE INDEX inbox_id ON wa.inbox (id);
CREATE INDEX inbox_history ON wa.inbox (session_id, chat, sent_at);
CREATE INDEX inbox_media ON wa.inbox (media_id) WHERE media_id IS NOT NULL;
-- Where a replay of a webhook begins (wa.first_since), whatever the order in which transactions began and ended.
CREATE INDEX inbox_age ON wa.inbox USING brin (received_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX inbox_transaction ON wa.inbox USING brin (transaction) WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON TABLE wa.inbox IS 'Received messages, each exactly once. LISTEN wa_inbound announces new rows as {"session_id","id"}.';
COMMENT ON COLUMN wa.inbox.id IS 'Number of the message, in the order of arrival.';
COMMENT ON COLUMN wa.inbox.session IS 'Name of the session that received the message.';
COMMENT ON COLUMN wa.inbox.session_id IS 'The session that received the message.';
COMMENT ON COLUMN wa.inbox.chat IS 'JID of the conversation; one-to-one it is the other side''s phone number as user@s.whatsapp.net where that is known.';
COMMENT ON COLUMN wa.inbox.sender IS 'JID of the author, without device.';
COMMENT ON COLUMN wa.inbox.message_id IS 'WhatsApp message id; unique within (session, chat, sender). An id of more than 255 bytes or with U+0000 ends with ~ and a hash of the whole.';
COMMENT ON COLUMN wa.inbox.kind IS 'text, image, video, audio, voice, document, sticker, location, contact, poll; reaction, edit, revoke, poll_vote, comment (see target_id); button_reply, list_reply, interactive_reply (see quoted_id); buttons, list, template, interactive, product, order, payment, payment_request, event, event_invite, group_invite, newsletter_invite, sticker_pack, scheduled_call, poll_result, call_log, album, phone_number_request; unreadable for a message that was decrypted and is no message; unknown for everything else, see message.';
COMMENT ON COLUMN wa.inbox.body IS 'What a person reads: text, caption, question, emoji of a reaction, new words of an edit, chosen text of an answer, title and description.';
COMMENT ON COLUMN wa.inbox.from_me IS 'Whether the account''s owner wrote the message, on the phone or another linked device.';
COMMENT ON COLUMN wa.inbox.push_name IS 'Name that the sender shows.';
COMMENT ON COLUMN wa.inbox.sent_at IS 'When the message was sent, by the server''s clock.';
COMMENT ON COLUMN wa.inbox.received_at IS 'When the row was inserted.';
COMMENT ON COLUMN wa.inbox.message IS 'The whole decrypted message as JSON; bytes as base64 text.';
COMMENT ON COLUMN wa.inbox.quoted_id IS 'message_id of the message that this one answers.';
COMMENT ON COLUMN wa.inbox.target_id IS 'message_id of the message that a reaction, edit, revocation or vote changes.';
COMMENT ON COLUMN wa.inbox.choices IS 'Options that a poll_vote chooses, none when the vote is withdrawn. The last vote of a sender counts. Null when the poll is unknown.';
COMMENT ON COLUMN wa.inbox.author_matches IS 'Of an edit or a revoke: whether its sender wrote the message that it changes. False is a forgery, unless by_admin is true. Null when that message is not stored, and for other kinds.';
COMMENT ON COLUMN wa.inbox.by_admin IS 'Of a revoke: whether an admin of the group takes back the message of somebody else. Null for kinds other than edit and revoke.';
COMMENT ON COLUMN wa.inbox.media IS 'Of a message with a file: {"mime", "size", "file_name", "seconds"}, as given by the sender.';
COMMENT ON COLUMN wa.inbox.transaction IS 'Number of the transaction that stored the message, for consumers that were added meanwhile.';
COMMENT ON COLUMN wa.inbox.media_id IS 'The file in wa.media, once wa.download or a rule of wa.download_rule has downloaded it.';
ALTER TABLE wa.inbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.inbox
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = inbox.session_id));

-- Messages from before a session was linked (M7).
CREATE TABLE wa.past (
    id         bigint GENERATED ALWAYS AS IDENTITY,
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
    kept_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, chat, message_id, sender)
);
CREATE INDEX past_age ON wa.past (kept_at);
CREATE INDEX past_history ON wa.past (session_id, chat, sent_at);
COMMENT ON TABLE wa.past IS 'Messages from before a session was linked, as far as its phone sent them, for sessions with wa.keep_past. wa.history includes them.';
COMMENT ON COLUMN wa.past.id IS 'Number of the message; grows with the order of the messages of a second.';
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
COMMENT ON COLUMN wa.past.kept_at IS 'When the row was inserted. Retention counts from here.';
ALTER TABLE wa.past ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.past
    USING ((SELECT wa.sees_all(current_user)) OR session_id IN (SELECT s.session_id FROM wa.session s));

-- Disappearing messages. What is sent to such a chat disappears, too.
CREATE TABLE wa.chat_timer (
    session_id bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    chat       text NOT NULL,
    seconds    integer NOT NULL CONSTRAINT chat_timer_seconds_check CHECK (seconds >= 0),
    set_at     timestamptz NOT NULL,
    PRIMARY KEY (session_id, chat)
);
COMMENT ON TABLE wa.chat_timer IS 'Chats whose messages disappear, as the other side or the group has set it. Messages from here to such a chat disappear after the same time.';
COMMENT ON COLUMN wa.chat_timer.session_id IS 'The session.';
COMMENT ON COLUMN wa.chat_timer.chat IS 'JID of the chat, as in wa.outbound.chat.';
COMMENT ON COLUMN wa.chat_timer.seconds IS 'After how many seconds messages disappear; 0 is not at all.';
COMMENT ON COLUMN wa.chat_timer.set_at IS 'Since when; 1970 when only messages of a group had it.';
ALTER TABLE wa.chat_timer ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.chat_timer
    USING ((SELECT wa.sees_all(current_user)) OR session_id IN (SELECT s.session_id FROM wa.session s));

-- Named consumers of the inbox (M5).
CREATE TABLE wa.consumer (
    consumer_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL,
    session_id    bigint REFERENCES wa.session ON DELETE CASCADE,
    kinds         text[],
    tenants       text[],
    claimed       bigint[] NOT NULL DEFAULT '{}',
    claimed_until timestamptz,
    seen          pg_snapshot,
    seen_until    bigint,
    created_at    timestamptz NOT NULL DEFAULT now(),
    active_at     timestamptz NOT NULL DEFAULT now(),
    paused_at     timestamptz,
    paused_reason text,
    CONSTRAINT consumer_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$')
);
-- By a hash, because a role may see more tenants than an index entry has room for.
CREATE UNIQUE INDEX consumer_name ON wa.consumer (name, hash_array_extended(tenants, 0)) NULLS NOT DISTINCT;
-- For the trigger of wa.inbox. Without the list of pending entries, which each search reads.
CREATE INDEX consumer_tenants ON wa.consumer USING gin (tenants) WITH (fastupdate = off);
CREATE INDEX consumer_of_all ON wa.consumer (consumer_id) WHERE tenants IS NULL;
CREATE INDEX consumer_session ON wa.consumer (session_id) WHERE session_id IS NOT NULL;
COMMENT ON TABLE wa.consumer IS 'Readers of wa.inbox, each at its own pace. Added by wa.add_consumer; wa.consumers shows the backlog of each.';
COMMENT ON COLUMN wa.consumer.consumer_id IS 'Number of the consumer.';
COMMENT ON COLUMN wa.consumer.name IS 'Name; 1 to 63 of letters, digits, dot, underscore, hyphen. Unique among consumers of the same tenants.';
COMMENT ON COLUMN wa.consumer.session_id IS 'The session that the consumer reads; null is all that it sees.';
COMMENT ON COLUMN wa.consumer.kinds IS 'Kinds of messages that the consumer reads; null is all.';
COMMENT ON COLUMN wa.consumer.tenants IS 'Tenants whose messages the consumer reads: those of the role that added it; null is all.';
COMMENT ON COLUMN wa.consumer.claimed IS 'wa.inbox.id of the messages that the consumer has claimed and not acknowledged.';
COMMENT ON COLUMN wa.consumer.claimed_until IS 'Until when nobody else can claim them.';
COMMENT ON COLUMN wa.consumer.seen IS 'While the consumer is new: the transactions whose messages it has been given. A message that was being stored when the consumer was added is found by it. Null once all those transactions have ended.';
COMMENT ON COLUMN wa.consumer.seen_until IS 'While the consumer is new: transactions from this number on know of it. Null until that number is known.';
COMMENT ON COLUMN wa.consumer.created_at IS 'When the consumer was added.';
COMMENT ON COLUMN wa.consumer.active_at IS 'When the consumer last claimed messages or was rewound.';
COMMENT ON COLUMN wa.consumer.paused_at IS 'Since when the consumer is paused, because nobody read for it: what it has to read is deleted. wa.rewind_consumer ends the pause. Null is not paused.';
COMMENT ON COLUMN wa.consumer.paused_reason IS 'Why the retention job paused it.';
ALTER TABLE wa.consumer ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.consumer USING ((SELECT wa.sees_all(current_user)) OR tenants <@ (SELECT wa.my_tenants(current_user))::text[]);

-- The transaction that stores a message makes these rows. A position among the ids of wa.inbox would not do: ids do not
-- become visible in their order, so it would miss messages that are committed late. No foreign key: with one, a
-- consumer that is being dropped would hold up every message (R8). Rows of dropped consumers are deleted by retention.
CREATE TABLE wa.unread (
    consumer_id bigint NOT NULL,
    inbox_id    bigint NOT NULL,
    PRIMARY KEY (consumer_id, inbox_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
COMMENT ON TABLE wa.unread IS 'Messages that each consumer has yet to acknowledge.';
COMMENT ON COLUMN wa.unread.consumer_id IS 'The consumer.';
COMMENT ON COLUMN wa.unread.inbox_id IS 'wa.inbox.id of the message. A message that was deleted, by retention or with its session, is skipped.';
ALTER TABLE wa.unread ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.unread
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.consumer c WHERE c.consumer_id = unread.consumer_id));

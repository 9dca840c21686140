-- What was said before a session was linked (M7).

ALTER TABLE wa.session ADD COLUMN keep_past boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN wa.session.keep_past IS 'Whether what the phone tells of the time before a link is kept in wa.past; wa.keep_past sets it.';

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
COMMENT ON TABLE wa.past IS 'Messages from before a session was linked, as far as its phone told of them; of sessions that wa.keep_past was called for. wa.history has them too.';
COMMENT ON COLUMN wa.past.session_id IS 'Whose it is.';
COMMENT ON COLUMN wa.past.session IS 'Name of the session.';
COMMENT ON COLUMN wa.past.chat IS 'JID of the conversation.';
COMMENT ON COLUMN wa.past.sender IS 'JID of who wrote it.';
COMMENT ON COLUMN wa.past.message_id IS 'WhatsApp message id.';
COMMENT ON COLUMN wa.past.kind IS 'Kind of message, as in wa.inbox.';
COMMENT ON COLUMN wa.past.body IS 'Text, caption, question, emoji of a reaction, or new words of an edit.';
COMMENT ON COLUMN wa.past.from_me IS 'Written by the account.';
COMMENT ON COLUMN wa.past.push_name IS 'What the sender called themselves.';
COMMENT ON COLUMN wa.past.sent_at IS 'When it was sent.';
COMMENT ON COLUMN wa.past.message IS 'The whole message.';
COMMENT ON COLUMN wa.past.quoted_id IS 'message_id of the message that it answers.';
COMMENT ON COLUMN wa.past.target_id IS 'message_id of the message that it changes.';
ALTER TABLE wa.past ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.past
    USING ((SELECT wa.sees_all()) OR session_id IN (SELECT s.session_id FROM wa.session s));

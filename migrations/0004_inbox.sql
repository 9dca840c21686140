-- What arrives. A row is committed here before WhatsApp gets its acknowledgement.

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
    PRIMARY KEY (session_id, id),
    UNIQUE (session_id, chat, sender, message_id)
);
CREATE INDEX inbox_id ON wa.inbox (id);
COMMENT ON TABLE wa.inbox IS 'Received messages, each exactly once. LISTEN wa_inbound tells of new rows by {"session","id","chat","message_id"}.';
COMMENT ON COLUMN wa.inbox.session IS 'Name of the session that received it.';
COMMENT ON COLUMN wa.inbox.chat IS 'JID of the conversation; for one-to-one the other side''s phone number as user@s.whatsapp.net where it is known.';
COMMENT ON COLUMN wa.inbox.sender IS 'JID of who wrote it, without device.';
COMMENT ON COLUMN wa.inbox.message_id IS 'WhatsApp message id; unique within (session, chat, sender).';
COMMENT ON COLUMN wa.inbox.kind IS 'text, or the name of the content in the message (image_message, reaction_message …).';
COMMENT ON COLUMN wa.inbox.body IS 'The text or caption, when there is one.';
COMMENT ON COLUMN wa.inbox.from_me IS 'Written by the account''s owner on the phone or another linked device.';
COMMENT ON COLUMN wa.inbox.push_name IS 'The name that the sender chose to show.';
COMMENT ON COLUMN wa.inbox.sent_at IS 'When it was sent, by the server''s clock.';
COMMENT ON COLUMN wa.inbox.message IS 'The whole decrypted message as JSON; bytes as base64 text.';

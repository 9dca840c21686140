-- Messages of every kind, and what arrives in columns of its own.

ALTER TABLE wa.outbound ADD COLUMN content jsonb;
COMMENT ON COLUMN wa.outbound.kind IS 'What is sent: text, or one of wa.message_kinds().';
COMMENT ON COLUMN wa.outbound.body IS 'The text, caption, question or emoji, as wa.message_kinds() has it for the kind; at most 65536 characters.';
COMMENT ON COLUMN wa.outbound.content IS 'What else the kind needs, by field: see wa.message_fields(). Checked when it is inserted; numbers of people become JIDs.';
-- It is made anew with more to say.
DROP FUNCTION IF EXISTS wa.send_text(text, text, text, integer, timestamptz, timestamptz, text, integer);

ALTER TABLE wa.inbox ADD COLUMN quoted_id text, ADD COLUMN target_id text;
COMMENT ON COLUMN wa.inbox.kind IS 'What arrived: text, image, video, audio, voice, document, sticker, location, contact, poll; reaction, edit, revoke, poll_vote (see target_id); else the name of the protocol''s field.';
COMMENT ON COLUMN wa.inbox.body IS 'Text, caption, question, emoji of a reaction, or new words of an edit.';
COMMENT ON COLUMN wa.inbox.quoted_id IS 'message_id of the message that it answers.';
COMMENT ON COLUMN wa.inbox.target_id IS 'message_id of the message that it changes: of a reaction, an edit, a revocation, a vote.';

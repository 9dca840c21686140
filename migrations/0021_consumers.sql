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
COMMENT ON TABLE wa.consumer IS 'Who reads wa.inbox at a pace of its own. Made by wa.add_consumer; wa.consumers shows how far each is.';
COMMENT ON COLUMN wa.consumer.consumer_id IS 'Number of the consumer.';
COMMENT ON COLUMN wa.consumer.name IS 'Its name; 1 to 63 of letters, digits, dot, underscore, hyphen.';
COMMENT ON COLUMN wa.consumer.session_id IS 'The session that it reads; null is all that it sees.';
COMMENT ON COLUMN wa.consumer.kinds IS 'Kinds of messages that it reads; null is all.';
COMMENT ON COLUMN wa.consumer.tenants IS 'Tenants whose messages it reads: those of whoever made it; null is all.';
COMMENT ON COLUMN wa.consumer.claimed IS 'wa.inbox.id of the messages that it was given and has not acknowledged.';
COMMENT ON COLUMN wa.consumer.claimed_until IS 'Until when nobody else is given them.';
COMMENT ON COLUMN wa.consumer.created_at IS 'When it was made.';

-- A row for each message that a consumer has yet to acknowledge, made in the transaction that stores the message. Ids of
-- messages do not become visible in their order, so a position among them would miss those that are committed late.
CREATE TABLE wa.unread (
    consumer_id bigint NOT NULL REFERENCES wa.consumer ON DELETE CASCADE,
    inbox_id    bigint NOT NULL,
    PRIMARY KEY (consumer_id, inbox_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
COMMENT ON TABLE wa.unread IS 'What each consumer has yet to acknowledge.';
COMMENT ON COLUMN wa.unread.consumer_id IS 'The consumer.';
COMMENT ON COLUMN wa.unread.inbox_id IS 'wa.inbox.id of the message. One that retention or the end of its session has deleted is passed over.';

ALTER TABLE wa.consumer ENABLE ROW LEVEL SECURITY;
ALTER TABLE wa.unread ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.consumer USING ((SELECT wa.sees_all()) OR tenants <@ (SELECT wa.my_tenants())::text[]);
CREATE POLICY tenant ON wa.unread
    USING ((SELECT wa.sees_all()) OR EXISTS (SELECT FROM wa.consumer c WHERE c.consumer_id = unread.consumer_id));

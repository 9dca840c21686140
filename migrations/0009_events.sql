-- Events: what happened, for operators and applications (M8).

CREATE TABLE wa.event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session    text,
    session_id bigint REFERENCES wa.session ON DELETE CASCADE,
    tenants    text[],
    kind       text NOT NULL,
    data       jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT event_tenants_check CHECK (session_id IS NULL AND cardinality(tenants) > 0 OR tenants IS NULL),
    -- Readers compute with this moment, and their calendars have no infinity.
    CONSTRAINT event_created_at_check CHECK (created_at > '-infinity' AND created_at < '10000-01-01Z')
);
CREATE INDEX event_session ON wa.event (session_id, id);
CREATE INDEX event_tenants ON wa.event (id) WHERE tenants IS NOT NULL;
CREATE INDEX event_age ON wa.event USING brin (created_at) WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON TABLE wa.event IS 'Events, oldest first by id. LISTEN wa_event announces new rows as {"session_id","id"}.';
COMMENT ON COLUMN wa.event.id IS 'Number of the event.';
COMMENT ON COLUMN wa.event.session IS 'Name of the session; null for an event without one.';
COMMENT ON COLUMN wa.event.session_id IS 'The session; null for an event without one.';
COMMENT ON COLUMN wa.event.tenants IS 'Of an event without a session: the tenants whose it is, of which a reader must see all, such as those of a webhook; null for one of no tenant.';
COMMENT ON COLUMN wa.event.kind IS 'session_new, session_linking, session_connecting, session_connected, session_disconnected, session_logged_out, session_banned, session_stopped (the session has that status now, since data.from and because of data.reason), connection_ended (why, and what to do: see docs/sessions.md), session_resting (see wa.session.rest_until), crypto_warning, crypto_limit (Bad MACs or Bad Decrypts are one short of their limit or have reached it, see wa.session_health), passkey_requested, passkey_code, passkey_failed (see wa.passkey), key_quarantined (a key could not be read and was quarantined), auth_quarantined (the whole auth state was quarantined, the session has to be linked again), item_quarantined (the database refused an item, see wa.quarantine), auth_restored (wa.restore_auth has taken it back), auth_deleted (a forced logout deleted it without telling WhatsApp), keys_swept (expired keys were deleted), keys_resealed (keys were encrypted with another key), ratchets_reset (chats start new Signal sessions, see data.reason); more in wa.event_kinds().';
COMMENT ON COLUMN wa.event.data IS 'Details, by kind; never a secret.';
COMMENT ON COLUMN wa.event.created_at IS 'When the event happened.';
ALTER TABLE wa.event ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.event
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = event.session_id)
           OR tenants <@ (SELECT wa.my_tenants(current_user))::text[]);

-- What the database refused to store (R10): one item at a time, while all others are written.
CREATE TABLE wa.quarantine (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session    text NOT NULL,
    session_id bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    source     text NOT NULL,
    code       text NOT NULL,
    reason     text NOT NULL,
    data       bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL DEFAULT now() + interval '30 days'
);
CREATE INDEX quarantine_session ON wa.quarantine (session_id);
CREATE INDEX quarantine_expires ON wa.quarantine (expires_at);
COMMENT ON TABLE wa.quarantine IS 'Items of a session that the database refused to store for their content, such as a receipt or a message, one row each. SELECT id, session, source, reason, convert_from(data, ''UTF8'') FROM wa.quarantine;';
COMMENT ON COLUMN wa.quarantine.id IS 'Number of the item.';
COMMENT ON COLUMN wa.quarantine.session IS 'Name of the session.';
COMMENT ON COLUMN wa.quarantine.session_id IS 'The session.';
COMMENT ON COLUMN wa.quarantine.source IS 'Where the item was to be written: progress (of a sent message), receipt (of a participant), message (wa.inbox), past (wa.past), event (wa.event), notice (wa.event and wa.chat_timer).';
COMMENT ON COLUMN wa.quarantine.code IS 'SQLSTATE of the refusal; empty when the driver refused.';
COMMENT ON COLUMN wa.quarantine.reason IS 'The error in words; may quote the item.';
COMMENT ON COLUMN wa.quarantine.data IS 'The item as JSON in UTF-8, at most 1 MiB of it.';
COMMENT ON COLUMN wa.quarantine.created_at IS 'When the item was quarantined.';
COMMENT ON COLUMN wa.quarantine.expires_at IS 'When the sweep (sweep_keys) deletes it.';
ALTER TABLE wa.quarantine ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.quarantine
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = quarantine.session_id));

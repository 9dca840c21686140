-- Events: what happened, for operators and applications (M8).

CREATE TABLE wa.event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session    text,
    session_id bigint REFERENCES wa.session ON DELETE CASCADE,
    kind       text NOT NULL,
    data       jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX event_session ON wa.event (session_id, id);
COMMENT ON TABLE wa.event IS 'Events, oldest first by id. LISTEN wa_event announces new rows as {"id","session","kind"}.';
COMMENT ON COLUMN wa.event.id IS 'Number of the event.';
COMMENT ON COLUMN wa.event.session IS 'Name of the session; null for an event without one.';
COMMENT ON COLUMN wa.event.session_id IS 'The session; null for an event without one.';
COMMENT ON COLUMN wa.event.kind IS 'session_new, session_linking, session_connecting, session_connected, session_disconnected, session_logged_out, session_banned, session_stopped (the session has that status now, since data.from and because of data.reason), session_resting (see wa.session.rest_until), crypto_warning, crypto_limit (Bad MACs or Bad Decrypts are one short of their limit or have reached it, see wa.session_health), passkey_requested, passkey_code, passkey_failed (see wa.passkey), key_quarantined (a key could not be read and was quarantined), auth_quarantined (the whole auth state was quarantined, the session has to be linked again), keys_swept (expired keys were deleted), keys_resealed (keys were encrypted with another key), ratchets_reset (chats start new Signal sessions, see data.reason); more in wa.event_kinds().';
COMMENT ON COLUMN wa.event.data IS 'Details, by kind; never a secret.';
COMMENT ON COLUMN wa.event.created_at IS 'When the event happened.';
ALTER TABLE wa.event ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.event
    USING ((SELECT wa.sees_all()) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = event.session_id));

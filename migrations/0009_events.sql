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
COMMENT ON TABLE wa.event IS 'What happened, oldest first by id. LISTEN wa_event tells of new rows by {"id","session","kind"}.';
COMMENT ON COLUMN wa.event.id IS 'Number of the event.';
COMMENT ON COLUMN wa.event.session IS 'Name of the session that it is about; null when it is about none.';
COMMENT ON COLUMN wa.event.session_id IS 'The session that it is about; null when it is about none.';
COMMENT ON COLUMN wa.event.kind IS 'What happened: session_new, session_linking, session_connecting, session_connected, session_disconnected, session_logged_out, session_banned, session_stopped (the status became that, from data.from because of data.reason), session_resting (see wa.session.rest_until), crypto_warning, crypto_limit (Bad MACs or Bad Decrypts are one short of their limit or have reached it, see wa.session_health), passkey_requested, passkey_code, passkey_failed (see wa.passkey), key_quarantined (a key could not be read and was put aside), auth_quarantined (the auth state was put aside, the session has to be linked anew), keys_swept (expired keys were deleted), keys_resealed (keys were encrypted anew), ratchets_reset (chats begin new Signal sessions, see data.reason).';
COMMENT ON COLUMN wa.event.data IS 'What there is to say about it, by kind; never a secret.';
COMMENT ON COLUMN wa.event.created_at IS 'When it happened.';
ALTER TABLE wa.event ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.event
    USING ((SELECT wa.sees_all()) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = event.session_id));

-- Linking of accounts that demand a passkey.

CREATE TABLE wa.passkey (
    session_id   bigint PRIMARY KEY REFERENCES wa.session ON DELETE CASCADE,
    session      text NOT NULL,
    stage        text NOT NULL DEFAULT 'requested'
                 CHECK (stage IN ('requested', 'answered', 'proven', 'code', 'confirmed', 'done', 'failed')),
    request      jsonb NOT NULL,
    answer       jsonb,
    code         text,
    error        text,
    requested_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wa.passkey IS 'The last linking of each session for which WhatsApp demanded a passkey. Answer with wa.answer_passkey, then compare code with the phone and wa.confirm_passkey. Changes are announced on wa_session.';
COMMENT ON COLUMN wa.passkey.session_id IS 'The session.';
COMMENT ON COLUMN wa.passkey.session IS 'Its name.';
COMMENT ON COLUMN wa.passkey.stage IS 'requested (wa.answer_passkey is waited for), answered, proven (WhatsApp took it; the phone is waited for), code (wa.confirm_passkey is waited for), confirmed, done (linked), failed (see error).';
COMMENT ON COLUMN wa.passkey.request IS 'What a browser on https://web.whatsapp.com is given to ask the passkey with: PublicKeyCredentialRequestOptionsJSON.';
COMMENT ON COLUMN wa.passkey.answer IS 'What the browser answered, until WhatsApp has taken it. Secret.';
COMMENT ON COLUMN wa.passkey.code IS 'XXXX-XXXX, which the phone must show too.';
COMMENT ON COLUMN wa.passkey.error IS 'Why it failed.';
COMMENT ON COLUMN wa.passkey.requested_at IS 'When WhatsApp demanded it.';
COMMENT ON COLUMN wa.passkey.expires_at IS 'Until when it may be finished.';
COMMENT ON COLUMN wa.passkey.updated_at IS 'When the stage last changed.';

ALTER TABLE wa.passkey ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.passkey
    USING ((SELECT wa.sees_all()) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = passkey.session_id));

COMMENT ON TABLE wa.session_job IS 'What is to happen to a session: link, connect, reconnect, passkey, close, logout. Consumed by its holder, else by any worker with room. Use wa.link, wa.connect, wa.close, wa.logout.';
COMMENT ON COLUMN wa.session_job.kind IS 'link (show a QR unless already linked), connect, reconnect (made by the worker when a connection is lost), passkey (go on with a linking that needs one; made by wa.answer_passkey and wa.confirm_passkey), close (keeps the link), logout (unlinks the device and deletes its auth state).';
COMMENT ON COLUMN wa.event.kind IS 'What happened: key_quarantined (a key could not be read and was put aside), keys_swept (expired keys were deleted), keys_resealed (keys were encrypted anew), ratchets_reset (chats begin new Signal sessions, see data.reason), passkey_requested, passkey_code, passkey_failed (see wa.passkey).';

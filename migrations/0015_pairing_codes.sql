-- Linking by pairing code.

ALTER TABLE wa.session
    ADD link_phone      text,
    ADD code            text,
    ADD code_expires_at timestamptz;
COMMENT ON COLUMN wa.session.link_phone IS 'Whose phone is to be linked by pairing code, as digits; null when it is to be linked by QR code alone.';
COMMENT ON COLUMN wa.session.code IS 'XXXX-XXXX, to be typed into the phone now: Settings, Linked devices, Link with phone number. Announced on wa_session.';
COMMENT ON COLUMN wa.session.code_expires_at IS 'The pairing code is of no use after this moment.';
ALTER TABLE wa.session_job ADD phone text;
COMMENT ON COLUMN wa.session_job.phone IS 'Of link: whose phone is to be linked by pairing code. At most five an hour for one phone.';
DROP FUNCTION IF EXISTS wa.link(text);

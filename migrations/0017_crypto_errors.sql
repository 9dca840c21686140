-- Messages and app state that could not be decrypted.

ALTER TABLE wa.session
    ADD bad_macs          integer NOT NULL DEFAULT 0,
    ADD bad_mac_limit     integer NOT NULL DEFAULT 3 CONSTRAINT session_bad_mac_limit_check CHECK (bad_mac_limit BETWEEN 1 AND 1000000),
    ADD bad_decrypts      integer NOT NULL DEFAULT 0,
    ADD bad_decrypt_limit integer NOT NULL DEFAULT 5 CONSTRAINT session_bad_decrypt_limit_check CHECK (bad_decrypt_limit BETWEEN 1 AND 1000000),
    ADD relink_at_limit   boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN wa.session.bad_macs IS 'Messages since the last connection whose ratchet did not fit (Bad MAC). Each is asked for again, and comes in a new Signal session. 0 after a successful connect.';
COMMENT ON COLUMN wa.session.bad_mac_limit IS 'So many Bad MACs make the session unhealthy, see wa.session_health. Set by wa.set_crypto_limits.';
COMMENT ON COLUMN wa.session.bad_decrypts IS 'Times since the last connection that app state (names, archive, mutes …) did not fit its key. 0 after a successful connect.';
COMMENT ON COLUMN wa.session.bad_decrypt_limit IS 'So many Bad Decrypts make the session unhealthy, see wa.session_health. Set by wa.set_crypto_limits.';
COMMENT ON COLUMN wa.session.relink_at_limit IS 'At a limit the session is closed and its auth state put aside for 30 days, so that it has to be linked anew. Otherwise it goes on.';
COMMENT ON COLUMN wa.event.kind IS 'What happened: session_new, session_linking, session_connecting, session_connected, session_disconnected, session_logged_out, session_banned, session_stopped (the status became that, from data.from because of data.reason), session_resting (see wa.session.rest_until), crypto_warning, crypto_limit (Bad MACs or Bad Decrypts are one short of their limit or have reached it, see wa.session_health), passkey_requested, passkey_code, passkey_failed (see wa.passkey), key_quarantined (a key could not be read and was put aside), auth_quarantined (the auth state was put aside, the session has to be linked anew), keys_swept (expired keys were deleted), keys_resealed (keys were encrypted anew), ratchets_reset (chats begin new Signal sessions, see data.reason).';

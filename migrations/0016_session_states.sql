-- Every change of a session's status is an event.

COMMENT ON COLUMN wa.session.status IS 'What is: new, linking, connecting, connected, disconnected, logged_out, banned, stopped; wa.next_statuses says what may follow what. Written by workers alone.';
COMMENT ON COLUMN wa.session.status_at IS 'Since when the status is what it is.';
COMMENT ON COLUMN wa.event.kind IS 'What happened: session_new, session_linking, session_connecting, session_connected, session_disconnected, session_logged_out, session_banned, session_stopped (the status became that, from data.from because of data.reason), session_resting (see wa.session.rest_until), passkey_requested, passkey_code, passkey_failed (see wa.passkey), key_quarantined (a key could not be read and was put aside), keys_swept (expired keys were deleted), keys_resealed (keys were encrypted anew), ratchets_reset (chats begin new Signal sessions, see data.reason).';

-- Events (M8): their kinds and their announcement. wa.event_kinds() is the one list of kinds; a test compares docs/events.md
-- with it.

CREATE OR REPLACE FUNCTION wa.event_kinds() RETURNS TABLE (kind text, data text, about text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ VALUES
    ('session_connecting, session_connected …', '{"from", "reason"}', 'The session''s status has changed to that; see docs/sessions.md for all of them.'),
    ('session_paused', '{"reason"}', 'WhatsApp limits the number, so it sends nothing more until wa.resume.'),
    ('past_kept', '{"messages", "progress"}', 'Messages from before the link are in wa.past; progress is how much of the past the phone has told, in percent, where it says so.'),
    ('call', '{"call_id", "from", "action", "video", "group", "reason"}', 'A call: action is offered, accepted, rejected, terminated or missed. Of stanzas that come at once, any may be told first.'),
    ('group_changed', '{"group", "by", "action", "participants", …}', 'Somebody changed a group: action is create, add, remove, promote, demote, subject, description, locked, announcement, ephemeral, invite, delete and the like.'),
    ('picture_changed', '{"contact", "by", "picture_id", "removed"}', 'A person or a group has another picture.'),
    ('presence', '{"contact", "available", "last_seen"}', 'Somebody came online or left; of those that wa.watch_presence asked for.'),
    ('chat_state', '{"chat", "sender", "state"}', 'Somebody is typing, recording or has stopped (paused).'),
    ('contact_number_changed', '{"from", "to"}', 'Somebody has another number.'),
    ('security_code_changed', '{"contact"}', 'Somebody has WhatsApp on another phone, or installed it anew.'),
    ('crypto_errors_…, key_quarantined, keys_swept, keys_resealed, ratchets_reset, passkey_…', '', 'What happened to the auth state; see docs/auth.md, docs/linking.md and docs/monitoring.md.')
$$;
COMMENT ON FUNCTION wa.event_kinds() IS 'Kinds of wa.event.kind, their data, and their meaning.';

CREATE OR REPLACE FUNCTION wa.event_after_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('wa_event', json_build_object('id', NEW.id, 'session', NEW.session, 'kind', NEW.kind)::text);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.event_after_insert() IS 'Row trigger of wa.event: NOTIFY wa_event with {"id","session","kind"}.';
CREATE OR REPLACE TRIGGER announce AFTER INSERT ON wa.event
    FOR EACH ROW EXECUTE FUNCTION wa.event_after_insert();

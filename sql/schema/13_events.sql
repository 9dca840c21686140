-- Events (M8): their kinds and their announcement. wa.event_kinds() is the one list of kinds; a test compares
-- docs/events.md with it.

CREATE OR REPLACE FUNCTION wa.event_kinds() RETURNS TABLE (kind text, data text, about text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ VALUES
    ('session_connecting, session_connected …', '{"from", "reason"}', 'The session has this status now; docs/sessions.md lists all of them.'),
    ('session_paused', '{"reason"}', 'WhatsApp limits the number, so the session sends nothing until wa.resume.'),
    ('past_kept', '{"messages", "progress"}', 'Messages from before the link are in wa.past; progress is the percentage of the past that the phone has sent, if the phone reports it.'),
    ('call', '{"call_id", "from", "action", "video", "group", "reason"}', 'A call: action is offered, accepted, rejected, terminated or missed. Events that come at once may be in any order.'),
    ('group_changed', '{"group", "by", "action", "participants", …}', 'Somebody changed a group: action is create, add, remove, promote, demote, subject, description, locked, announcement, ephemeral, invite, delete and the like.'),
    ('picture_changed', '{"contact", "by", "picture_id", "removed"}', 'A person or a group has a new picture.'),
    ('presence', '{"contact", "available", "last_seen"}', 'Somebody came online or left; only for contacts of wa.watch_presence.'),
    ('chat_state', '{"chat", "sender", "state"}', 'Somebody is typing, recording or has stopped (paused).'),
    ('contact_number_changed', '{"from", "to"}', 'Somebody changed their number.'),
    ('security_code_changed', '{"contact"}', 'Somebody uses WhatsApp on a new phone, or installed it again.'),
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

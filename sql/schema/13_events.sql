-- Events (M8): their kinds and their announcement. wa.event_kinds() is the one list of kinds; a test compares
-- docs/events.md with it.

CREATE OR REPLACE FUNCTION wa.event_kinds() RETURNS TABLE (kind text, data text, about text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ VALUES
    ('session_new, session_linking, session_connecting, session_connected, session_disconnected, session_logged_out, session_banned, session_stopped', '{"from", "reason"}', 'The session has this status now; see docs/sessions.md.'),
    ('connection_ended', '{"end", "code", "reason", "advice", "until"}', 'A connection ended, or could not be made, without being asked to; docs/sessions.md has each end, the code that WhatsApp gave, and the advice.'),
    ('session_resting', '{"failures", "until", "reason"}', 'The session rests after failed connections, see wa.session.rest_until.'),
    ('auth_deleted', '{"reason", "told", "advice"}', 'A forced logout deleted the auth state of a session that was not connected, so WhatsApp was not told.'),
    ('session_paused', '{"reason"}', 'WhatsApp limits the number, so the session sends nothing until wa.resume.'),
    ('session_limited', '{"reason", "until"}', 'WhatsApp lets the account start no new chats, until that moment if it said one.'),
    ('session_limit_ended', '{}', 'WhatsApp lets the account start new chats again.'),
    ('consumer_paused', '{"consumer", "reason"}', 'Nobody reads for a consumer, so it is paused and what it had to read is deleted; wa.rewind_consumer ends the pause.'),
    ('webhook_failing', '{"webhook", "failures", "error"}', 'A webhook''s receiver failed several times in a row, so only one delivery at a time is tried.'),
    ('webhook_disabled', '{"webhook", "reason"}', 'A worker disabled a webhook, because its receiver answered 410 or failed for days; wa.enable_webhook ends that.'),
    ('past_kept', '{"messages", "progress"}', 'Messages from before the link are in wa.past; progress is the percentage of the past that the phone has sent, if the phone reports it.'),
    ('call', '{"call_id", "from", "action", "video", "group", "reason"}', 'A call: action is offered, accepted, rejected, terminated or missed. Events that come at once may be in any order.'),
    ('group_changed', '{"group", "by", "action", "participants", …}', 'Somebody changed a group: action is create, add, remove, promote, demote, subject, description, locked, announcement, ephemeral, invite, delete and the like.'),
    ('picture_changed', '{"contact", "by", "picture_id", "removed"}', 'A person or a group has a new picture.'),
    ('presence', '{"contact", "available", "last_seen"}', 'Somebody came online or left; only for contacts of wa.watch_presence.'),
    ('chat_state', '{"chat", "sender", "state"}', 'Somebody is typing, recording or has stopped (paused).'),
    ('chat_timer_changed', '{"chat", "by", "seconds"}', 'Somebody switched disappearing messages of a chat; 0 is off. For groups see group_changed.'),
    ('message_pinned', '{"chat", "by", "message_id", "pinned"}', 'Somebody pinned a message for all, or unpinned it.'),
    ('message_kept', '{"chat", "by", "message_id", "kept"}', 'Somebody keeps a disappearing message, or no longer.'),
    ('phone_number_shared', '{"chat", "by"}', 'Somebody who wrote under a LID shows their number.'),
    ('message_undecryptable', '{"chat", "sender", "message_id", "reason", "hidden", "sent_at"}', 'A message could not be read: reason is not_decrypted (its sender and the phone are asked for it again), unavailable (the phone is asked), not_stored (it was read before a crash; its sender is asked again), view_once, hosted or bot (other devices do not get it). If it arrives later, it is in wa.inbox with this message_id. hidden: apps show no sign of such a message, for example of a reaction.'),
    ('contact_number_changed', '{"from", "to"}', 'Somebody changed their number.'),
    ('security_code_changed', '{"contact"}', 'Somebody uses WhatsApp on a new phone, or installed it again.'),
    ('item_quarantined', '{"id", "source", "code"}', 'The database refused something for its content, such as a receipt or a message, with this SQLSTATE; it is in wa.quarantine, and everything beside it was stored.'),
    ('crypto_warning, crypto_limit, key_quarantined, auth_quarantined, auth_restored, keys_swept, keys_resealed, ratchets_reset, passkey_requested, passkey_code, passkey_failed', '', 'What happened to the auth state; see docs/auth.md, docs/linking.md and docs/monitoring.md.')
$$;
COMMENT ON FUNCTION wa.event_kinds() IS 'Kinds of wa.event.kind, their data, and their meaning.';

CREATE OR REPLACE FUNCTION wa.event_after_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('wa_event', json_build_object('session_id', NEW.session_id, 'id', NEW.id)::text);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.event_after_insert() IS 'Row trigger of wa.event: NOTIFY wa_event with {"session_id","id"}.';
CREATE OR REPLACE TRIGGER announce AFTER INSERT ON wa.event
    FOR EACH ROW EXECUTE FUNCTION wa.event_after_insert();

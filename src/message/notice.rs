//! Received messages that nobody wrote: what happens to a chat, and traffic between devices.

use serde_json::{Map, Value, json};
use waproto::whatsapp as wa;
use waproto::whatsapp::message::protocol_message::Type;

use crate::db::storable::Storable;

/// A message that has no row in `wa.inbox`.
#[derive(Debug, PartialEq)]
pub(crate) enum Notice {
    /// A row of `wa.event`, with data beside the chat and the person.
    Event { kind: &'static str, data: Map<String, Value> },
    /// Disappearing messages were switched: their timer in seconds, 0 for off, and since when, in seconds since 1970. A
    /// row of `wa.event`, too.
    Timer { seconds: u32, at: Option<i64> },
    /// Keys, settings and history among devices. The client library has done what they ask for.
    Protocol,
}

/// Reads a message without wrappers; `None` for one that people should see, and for one of an unknown kind.
pub(crate) fn notice(message: &wa::Message) -> Option<Notice> {
    if let Some(protocol) = message.protocol_message.as_option() {
        return of_type(protocol);
    }
    if let Some(pin) = message.pin_in_chat_message.as_option() {
        let pinned = pin.r#type != Some(wa::message::pin_in_chat_message::Type::UNPIN_FOR_ALL);
        return Some(about("message_pinned", pin.key.as_option(), "pinned", pinned));
    }
    if let Some(keep) = message.keep_in_chat_message.as_option() {
        let kept = keep.keep_type != Some(wa::KeepType::UNDO_KEEP_FOR_ALL);
        return Some(about("message_kept", keep.key.as_option(), "kept", kept));
    }
    let traffic = [
        message.sender_key_distribution_message.is_set(),
        message.fast_ratchet_key_sender_key_distribution_message.is_set(),
        message.group_root_key_share.is_set(),
        message.root_secret_distribute_message.is_set(),
        message.message_history_bundle.is_set(),
        message.message_history_notice.is_set(),
        message.sticker_sync_rmr_message.is_set(),
        message.call.is_set(),
    ];
    // A message of a later version may have a key beside content that is unknown here; the library acknowledges those
    // that have nothing but a key before they get here.
    traffic.contains(&true).then_some(Notice::Protocol)
}

fn of_type(protocol: &wa::message::ProtocolMessage) -> Option<Notice> {
    Some(match protocol.r#type? {
        Type::EPHEMERAL_SETTING => Notice::Timer {
            seconds: protocol.ephemeral_expiration.unwrap_or(0),
            at: protocol.ephemeral_setting_timestamp,
        },
        Type::SHARE_PHONE_NUMBER => Notice::Event { kind: "phone_number_shared", data: Map::new() },
        Type::EPHEMERAL_SYNC_RESPONSE
        | Type::HISTORY_SYNC_NOTIFICATION
        | Type::APP_STATE_SYNC_KEY_SHARE
        | Type::APP_STATE_SYNC_KEY_REQUEST
        | Type::APP_STATE_FATAL_EXCEPTION_NOTIFICATION
        | Type::MSG_FANOUT_BACKFILL_REQUEST
        | Type::INITIAL_SECURITY_NOTIFICATION_SETTING_SYNC
        | Type::PEER_DATA_OPERATION_REQUEST_MESSAGE
        | Type::PEER_DATA_OPERATION_REQUEST_RESPONSE_MESSAGE
        | Type::REQUEST_WELCOME_MESSAGE
        | Type::BOT_FEEDBACK_MESSAGE
        | Type::MEDIA_NOTIFY_MESSAGE
        | Type::CLOUD_API_THREAD_CONTROL_NOTIFICATION
        | Type::LID_MIGRATION_MAPPING_SYNC
        | Type::BOT_MEMU_ONBOARDING_MESSAGE
        | Type::STOP_GENERATION_MESSAGE
        | Type::AI_PSI_METADATA
        | Type::AI_QUERY_FANOUT => Notice::Protocol,
        _ => return None,
    })
}

/// An event about a message of the chat.
fn about(kind: &'static str, key: Option<&wa::MessageKey>, field: &str, on: bool) -> Notice {
    let message_id = key.and_then(|key| key.id.as_deref()).map(Storable::id);
    let mut data = Map::new();
    data.insert("message_id".into(), json!(message_id.as_ref().map(Storable::as_str)));
    data.insert(field.into(), on.into());
    Notice::Event { kind, data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use buffa::MessageField;

    fn protocol(kind: Type, seconds: Option<u32>) -> wa::Message {
        let protocol =
            wa::message::ProtocolMessage { r#type: Some(kind), ephemeral_expiration: seconds, ..Default::default() };
        wa::Message { protocol_message: MessageField::some(protocol), ..Default::default() }
    }

    #[test]
    fn m8_timers_pins_and_keys_are_no_messages() {
        let timer = |seconds| Some(Notice::Timer { seconds, at: None });
        assert_eq!(notice(&protocol(Type::EPHEMERAL_SETTING, Some(86_400))), timer(86_400));
        assert_eq!(notice(&protocol(Type::EPHEMERAL_SETTING, None)), timer(0));
        assert_eq!(notice(&protocol(Type::APP_STATE_SYNC_KEY_REQUEST, None)), Some(Notice::Protocol));
        assert_eq!(notice(&protocol(Type::REVOKE, None)), None);
        assert_eq!(notice(&protocol(Type::LIMIT_SHARING, None)), None);
        assert_eq!(notice(&wa::Message::default()), None);
        let pin = wa::message::PinInChatMessage {
            key: MessageField::some(wa::MessageKey { id: Some("A\0".into()), ..Default::default() }),
            r#type: Some(wa::message::pin_in_chat_message::Type::PIN_FOR_ALL),
            ..Default::default()
        };
        let pin = wa::Message { pin_in_chat_message: MessageField::some(pin), ..Default::default() };
        let Some(Notice::Event { kind, data }) = notice(&pin) else { panic!("a pin is an event") };
        let id = Storable::id("A\0");
        assert_eq!((kind, Value::from(data)), ("message_pinned", json!({ "message_id": id.as_str(), "pinned": true })));
    }
}

//! What peers send to a worker as functions of bytes (R5, R10), for fuzz targets and property tests.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "an input that breaks a promise must end the program"
)]

use super::authors::Authority;
use super::columns::{Envelope, InboxColumns};
use super::media;
use crate::db::storable::{ID_BYTES, Storable};
use crate::message::meaning::{Received, received};
use buffa::Message as _;
use chrono::DateTime;
use serde_json::Value;
use wacore_binary::Jid;
use waproto::whatsapp as wa;

/// A file as somebody gives it to a row; the first byte chooses the kind. It is inspected, or refused with a reason.
pub fn file(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    media::fuzzing::file(*kind, bytes);
}

/// A conversation of a phone's history, with any ids and contents: each message becomes columns that Postgres stores.
pub fn past(data: &[u8]) {
    let Ok(conversation) = wa::Conversation::decode_from_slice(data) else { return };
    let mut columns = InboxColumns::default();
    for entry in &conversation.messages {
        let Some(info) = entry.message.as_option() else { continue };
        let (Some(id), Some(message)) = (info.key.id.as_deref(), info.message.as_option()) else { continue };
        let Received::Message(meaning) = received(message) else { continue };
        let chat = conversation.id.parse::<Jid>().unwrap_or_else(|_| Jid::pn(conversation.id.as_str()));
        let seconds = info.message_timestamp.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or_default();
        let at = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        let push_name = info.push_name.as_deref();
        let envelope = Envelope { sender: chat.clone(), chat, id, from_me: false, push_name, at };
        columns.push(envelope, message, meaning, None, Authority::default());
    }
    let ids = columns.chats.iter().chain(&columns.senders).chain(&columns.ids);
    let quoted = columns.quoted_ids.iter().chain(&columns.target_ids).flatten();
    for id in ids.chain(quoted) {
        assert!(id.as_str().len() <= ID_BYTES && !id.as_str().contains('\0'), "{id}");
        assert_eq!(*id, Storable::id(id.as_str()), "an id that is stored stays as it is");
    }
    for text in columns.bodies.iter().chain(&columns.push_names).flatten() {
        assert!(!text.as_str().contains('\0'), "{text}");
    }
    for message in &columns.messages {
        // Not compared with the value: reading a number back may change its last bit.
        serde_json::from_str::<Value>(&message.value().to_string()).expect("JSON");
    }
}

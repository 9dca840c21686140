//! Rows of `wa.event` that a session writes.

use super::address::chat_and_sender;
use crate::db::fence::Fence;
use crate::db::hold::Hold;
use crate::db::quarantine::{self, Source};
use crate::db::storable::{self, Storable, StorableJson};
use serde_json::{Value, json};
use wacore::types::message::{MessageCategory, MessageInfo};
use whatsapp_rust::client::Client;

/// Writes an event of the session.
pub(crate) async fn write(hold: &Hold, kind: &str, data: Value) {
    let Fence { session_id, epoch } = hold.fence;
    let data = StorableJson::new(data);
    let event = || {
        sqlx::query_file_scalar!("sql/session/event.sql", session_id, epoch, kind, &data as &StorableJson)
            .fetch_one(&hold.db)
    };
    if let Err(error) = hold.try_write(event).await {
        let event = json!({ "kind": kind, "data": data.value() });
        quarantine::put(&hold.db, hold.fence, Source::Event, &event, &error, &hold.lost).await;
    }
}

/// Kind and data of the event for a message that could not be read; `None` for one that devices of this account send
/// each other. `hidden` is a message that apps show nowhere, such as a reaction.
pub(crate) async fn undecryptable(
    client: &Client,
    info: &MessageInfo,
    reason: &str,
    hidden: bool,
) -> Option<(&'static str, Value)> {
    if matches!(info.category, MessageCategory::Peer) {
        return None;
    }
    let (chat, sender) = chat_and_sender(client, &info.source).await;
    // As the row has them if the message arrives later.
    let [chat, sender, id] = [&chat.to_string(), &sender.to_string(), &info.id].map(|id| Storable::id(id));
    let data = json!({
        "chat": chat.as_str(), "sender": sender.as_str(), "message_id": id.as_str(), "reason": reason,
        "hidden": hidden, "sent_at": storable::time(info.timestamp),
    });
    Some(("message_undecryptable", data))
}

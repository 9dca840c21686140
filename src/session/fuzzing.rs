//! What WhatsApp and a phone send to a session, as functions of bytes (S2, R5, R10).

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "an input that breaks a promise must end the program"
)]

use super::events::event_of;
use super::forward::connection_sign;
use super::passkey::primary_of;
use super::reports::changes;
use crate::db::fence::Fence;
use crate::db::hold::Hold;
use crate::db::storable::{ID_BYTES, StorableJson};
use crate::messages::redelivered::{self, Redelivered};
use std::sync::{Arc, LazyLock};
use tokio::runtime::Runtime;
use wacore::shortcake::ShortcakeUtils;
use wacore::stanza::call::parse_call_stanza;
use wacore::stanza::groups::GroupNotification;
use wacore::stanza::receipt::{collect_simple_message_ids, parse_participants};
use wacore::store::InMemoryBackend;
use wacore::types::events::{Event, GroupUpdate, PresenceUpdate, Receipt};
use wacore::types::message::MessageSource;
use wacore::types::presence::ReceiptType;
use wacore_binary::{Jid, NodeRef, OwnedNodeRef};
use whatsapp_rust::bot::Bot;
use whatsapp_rust::client::Client;
use whatsapp_rust::passkey::parse_request_options;
use whatsapp_rust::transport::TokioWebSocketTransportFactory;

/// A demand for a passkey as JSON, a phone's identity, and a stanza that may carry one: each is read, or refused with a
/// reason.
pub fn passkey(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if parse_request_options(&text).is_ok()
        && let Ok(request) = serde_json::from_str(&text)
    {
        drop(StorableJson::new(request));
    }
    drop(ShortcakeUtils::parse_primary_ephemeral_identity(data));
    if let Ok(stanza) = OwnedNodeRef::new(data.to_vec())
        && let Some(primary) = primary_of(&stanza)
    {
        drop(ShortcakeUtils::parse_primary_ephemeral_identity(&primary));
    }
}

/// A client that is not connected, and what runs its tasks.
struct Stage {
    runtime: Runtime,
    client: Arc<Client>,
    /// Of a database that is not there; it is lost, so that nothing waits for it.
    hold: Hold,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (client, db) = runtime.block_on(async {
        let bot = Bot::builder()
            .with_backend_arc(Arc::new(InMemoryBackend::new()))
            .with_transport_factory(TokioWebSocketTransportFactory::new().with_url("ws://127.0.0.1:9/"))
            .with_http_client(super::http::MediaClient::new())
            .with_runtime(whatsapp_rust::TokioRuntime)
            .with_version((2, 3000, 1))
            .build()
            .await
            .expect("a client");
        (bot.client(), sqlx::PgPool::connect_lazy("postgres://127.0.0.1:9/none").expect("a pool").into())
    });
    let hold = Hold::new(db, Fence { session_id: 1, epoch: 1 }, "fuzz");
    hold.lost.cancel();
    Stage { runtime, client, hold }
});

/// A stanza from the server, as a worker reads it: as a sign of the connection, a receipt, an event, or a message that is
/// delivered again. What is written fits into the rows.
pub fn worker_stanza(data: &[u8]) {
    let Ok(stanza) = OwnedNodeRef::new(data.to_vec()) else { return };
    let (stanza, Stage { runtime, client, hold }) = (Arc::new(stanza), &*STAGE);
    let own = Jid::pn("15550001");
    runtime.block_on(async {
        if connection_sign(&stanza).is_some() {
            return;
        }
        for receipt in receipts(stanza.get()) {
            for change in changes(hold.fence, client, &receipt).await.map(|(_, changes)| changes).unwrap_or_default() {
                for id in std::iter::once(&change.message_id).chain(&change.participant) {
                    assert!(id.as_str().len() <= ID_BYTES && !id.as_str().contains('\0'), "{id}");
                }
            }
        }
        for event in events(stanza.get()) {
            if let Some((_, data)) = event_of(client, &event).await {
                drop(StorableJson::new(data));
            }
        }
        if let Some((_, data)) = redelivered::event_of(client, stanza.get(), &own).await {
            drop(StorableJson::new(data));
        }
        let redelivered = Redelivered::default();
        redelivered.received(&stanza);
        if let Some(id) = stanza.get().get_attr("id") {
            redelivered.request_resend(hold, client, &id.as_str()).await;
        }
    });
}

/// The receipts of a stanza, as the library makes them.
fn receipts(node: &NodeRef<'_>) -> Vec<Receipt> {
    let mut attrs = node.attrs();
    let (chat, kind) = (attrs.jid("from"), attrs.optional_string("type"));
    let kind = ReceiptType::parse(kind.as_deref().unwrap_or("delivery"));
    let receipt = |ids, sender, sender_alt| {
        let source = MessageSource { chat: chat.clone(), sender, sender_alt, ..Default::default() };
        Receipt::builder()
            .message_ids(ids)
            .source(source)
            .timestamp(chrono::DateTime::UNIX_EPOCH)
            .r#type(kind.clone())
            .offline(node.get_attr("offline").is_some())
            .build()
    };
    let id = attrs.optional_string("id").unwrap_or_default();
    if let Some(participants) = node.get_optional_child("participants") {
        let (message, _, users) = parse_participants(participants);
        let ids = vec![message.unwrap_or_else(|| id.to_string())];
        return users.into_iter().map(|user| receipt(ids.clone(), user.jid, user.participant_pn)).collect();
    }
    let sender = attrs.optional_jid("participant").unwrap_or_else(|| chat.clone());
    let alternative = attrs.optional_jid("participant_pn");
    vec![receipt(collect_simple_message_ids(node, &id, false), sender, alternative)]
}

/// The events of a stanza, as the library makes them.
fn events(node: &NodeRef<'_>) -> Vec<Event> {
    let mut events = vec![];
    if let Ok(Some(call)) = parse_call_stanza(node) {
        events.push(Event::IncomingCall(call));
    }
    if let Some(of_group) = GroupNotification::try_from_node_ref(node) {
        for action in of_group.actions {
            let update = GroupUpdate::builder()
                .group_jid(of_group.group_jid.clone())
                .maybe_participant(of_group.participant.clone())
                .maybe_participant_pn(of_group.participant_pn.clone())
                .timestamp(chrono::DateTime::UNIX_EPOCH)
                .is_lid_addressing_mode(of_group.is_lid_addressing_mode)
                .has_incomplete_participant_information(of_group.has_incomplete_participant_information)
                .action(action)
                .build();
            events.push(Event::GroupUpdate(update));
        }
    }
    if let Some(from) = node.attrs().optional_jid("from") {
        events.push(Event::Presence(PresenceUpdate::builder().from(from).unavailable(false).build()));
    }
    events
}

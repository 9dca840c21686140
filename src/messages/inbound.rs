//! The durability hook: a message is committed to `wa.inbox` and announced before the library acknowledges it (M4).
//!
//! The server hands over again what was not acknowledged, but not before the next connection, so an outage of the database
//! is waited out as long as the session is held. The unique key (session, chat, sender, message id) makes a repetition
//! harmless.

use super::json;
use super::redelivered::Redelivered;
use crate::db::Db;
use crate::db::fence::Fence;
use crate::db::outage::outlast;
use crate::telemetry;
use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use wacore::types::events::InboundMessage;
use wacore::types::message::{MessageCategory, MessageInfo};
use wacore_binary::{Jid, JidExt};
use whatsapp_rust::client::Client;
use whatsapp_rust::waproto::whatsapp as wa;

/// See the module.
#[derive(Debug)]
pub struct InboxHook {
    pool: Db,
    fence: Fence,
    stale: CancellationToken,
    redelivered: Arc<Redelivered>,
}

impl InboxHook {
    /// For one hold of one session.
    #[must_use]
    pub const fn new(pool: Db, fence: Fence, stale: CancellationToken, redelivered: Arc<Redelivered>) -> Self {
        Self { pool, fence, stale, redelivered }
    }
}

/// A batch, column by column, as the statement takes it.
#[derive(Default)]
struct Columns {
    chats: Vec<String>,
    senders: Vec<String>,
    ids: Vec<String>,
    kinds: Vec<String>,
    bodies: Vec<Option<String>>,
    from_me: Vec<bool>,
    push_names: Vec<Option<String>>,
    times: Vec<DateTime<Utc>>,
    messages: Vec<Value>,
}

#[async_trait::async_trait]
impl whatsapp_rust::InboundDurabilityHook for InboxHook {
    async fn on_messages(&self, client: Arc<Client>, batch: &[InboundMessage]) -> anyhow::Result<()> {
        let mut columns = Columns::default();
        for item in batch.iter().filter(|item| !is_housekeeping(item)) {
            let source = &item.info.source;
            let sender = phone_form(&client, &source.sender, source.sender_alt.as_ref()).await;
            let chat = if source.is_group || !source.chat.is_same_user_as(&source.sender) {
                phone_form(&client, &source.chat, source.recipient_alt.as_ref()).await
            } else {
                sender.clone()
            };
            let message = json::of(&*item.message).context("the message as JSON")?;
            columns.chats.push(chat.to_string());
            columns.senders.push(sender.to_string());
            columns.ids.push(item.info.id.clone());
            columns.kinds.push(kind(&item.message, &message));
            columns.bodies.push(body(&item.message).map(json::storable));
            columns.from_me.push(source.is_from_me);
            columns.push_names.push(push_name(&item.info));
            columns.times.push(item.info.timestamp);
            columns.messages.push(message);
        }
        if !columns.ids.is_empty() {
            self.store(&columns).await?;
        }
        for item in batch {
            self.redelivered.kept(&item.info.id);
        }
        Ok(())
    }
}

impl InboxHook {
    async fn store(&self, c: &Columns) -> anyhow::Result<()> {
        let store = || {
            sqlx::query_file!(
                "sql/messages/store_inbox.sql",
                self.fence.session_id,
                self.fence.epoch,
                &c.chats,
                &c.senders,
                &c.ids,
                &c.kinds,
                &c.bodies as &[Option<String>],
                &c.from_me,
                &c.push_names as &[Option<String>],
                &c.times,
                &c.messages
            )
            .fetch_one(&self.pool)
        };
        let done = outlast(&self.stale, store).await.inspect_err(
            |error| tracing::warn!(%error, "inbox not written; the server will hand the messages over again"),
        )?;
        if !done.held {
            self.stale.cancel();
            anyhow::bail!("the session is not held any more (epoch {})", self.fence.epoch);
        }
        telemetry::received(done.stored);
        Ok(())
    }
}

/// Messages between our own devices that carry keys and settings; nobody wrote them.
fn is_housekeeping(item: &InboundMessage) -> bool {
    matches!(item.info.category, MessageCategory::Peer)
}

/// The phone-number form of a user's JID, without device, where it is known: one person, one key, whichever way the
/// server addressed the message.
async fn phone_form(client: &Client, jid: &Jid, alternative: Option<&Jid>) -> Jid {
    if !jid.is_lid() {
        return jid.to_non_ad();
    }
    if let Some(known) = alternative.filter(|a| !a.is_lid()) {
        return known.to_non_ad();
    }
    match client.get_lid_pn_entry(jid).await {
        Ok(Some(entry)) => Jid::pn(entry.phone_number.to_string()),
        _ => jid.to_non_ad(),
    }
}

fn push_name(info: &MessageInfo) -> Option<String> {
    (!info.push_name.is_empty()).then(|| json::storable(&info.push_name))
}

fn body(message: &wa::Message) -> Option<&str> {
    message
        .conversation
        .as_deref()
        .or_else(|| message.extended_text_message.as_option()?.text.as_deref())
        .or_else(|| message.image_message.as_option()?.caption.as_deref())
        .or_else(|| message.video_message.as_option()?.caption.as_deref())
        .or_else(|| message.document_message.as_option()?.caption.as_deref())
}

/// `text`, or the name of the content field that is set.
fn kind(message: &wa::Message, json: &Value) -> String {
    if message.conversation.is_some() || message.extended_text_message.is_set() {
        return "text".into();
    }
    let content = json.as_object().and_then(|fields| {
        fields.keys().find(|name| !matches!(name.as_str(), "message_context_info" | "sender_key_distribution_message"))
    });
    content.cloned().unwrap_or_else(|| "unknown".into())
}

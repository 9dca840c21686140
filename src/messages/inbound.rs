//! The durability hook: commits a message to `wa.inbox` and announces it before the library acknowledges it (M4).
//!
//! The server delivers an unacknowledged message again, but not before the next connection. So the hook retries through
//! an outage of the database for as long as the session is held. The unique key (session, chat, sender, message id)
//! makes a repetition harmless.

use super::address::phone_form;
use super::redelivered::Redelivered;
use super::votes;
use crate::auth::Traffic;
use crate::db::hold::Hold;
use crate::message::json;
use crate::message::meaning::{Meaning, meaning};
use crate::telemetry;
use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::sync::Arc;
use wacore::proto_helpers::MessageExt as _;
use wacore::types::events::InboundMessage;
use wacore::types::message::MessageCategory;
use wacore_binary::{Jid, JidExt};
use waproto::whatsapp as wa;
use whatsapp_rust::client::Client;

/// The hook of one hold of a session.
#[derive(Debug)]
pub struct InboxHook {
    hold: Hold,
    redelivered: Arc<Redelivered>,
    traffic: Arc<Traffic>,
}

impl InboxHook {
    /// A hook that writes under `hold`.
    #[must_use]
    pub const fn new(hold: Hold, redelivered: Arc<Redelivered>, traffic: Arc<Traffic>) -> Self {
        Self { hold, redelivered, traffic }
    }
}

/// A batch in columns, as the statement takes it.
#[derive(Default)]
pub(super) struct InboxColumns {
    pub(super) chats: Vec<String>,
    pub(super) senders: Vec<String>,
    pub(super) ids: Vec<String>,
    pub(super) kinds: Vec<String>,
    pub(super) bodies: Vec<Option<String>>,
    pub(super) quoted_ids: Vec<Option<String>>,
    pub(super) target_ids: Vec<Option<String>>,
    media: Vec<Option<Value>>,
    /// JSON, because the rows of a Postgres array have one length.
    choices: Vec<Option<Value>>,
    pub(super) from_me: Vec<bool>,
    pub(super) push_names: Vec<Option<String>>,
    pub(super) times: Vec<DateTime<Utc>>,
    pub(super) messages: Vec<Value>,
}

/// Who sent a message, where and when.
pub(super) struct Envelope<'a> {
    pub(super) chat: Jid,
    pub(super) sender: Jid,
    pub(super) id: &'a str,
    pub(super) from_me: bool,
    pub(super) push_name: Option<&'a str>,
    pub(super) at: DateTime<Utc>,
}

impl InboxColumns {
    /// Adds a message. `choices` are the options that a vote chose.
    pub(super) fn push(
        &mut self,
        envelope: Envelope<'_>,
        message: &wa::Message,
        choices: Option<Value>,
    ) -> anyhow::Result<()> {
        let json = json::of(message).context("the message as JSON")?;
        let Meaning { kind, body, quoted_id, target_id, media } = meaning(message, &json);
        let Envelope { chat, sender, id, from_me, push_name, at } = envelope;
        self.chats.push(chat.to_string());
        self.senders.push(sender.to_string());
        self.ids.push(id.to_owned());
        self.kinds.push(kind);
        self.bodies.push(body);
        self.quoted_ids.push(quoted_id);
        self.target_ids.push(target_id);
        self.media.push(media);
        self.choices.push(choices);
        self.from_me.push(from_me);
        self.push_names.push(push_name.filter(|name| !name.is_empty()).map(json::storable));
        self.times.push(at);
        self.messages.push(json);
        Ok(())
    }
}

#[async_trait::async_trait]
impl whatsapp_rust::InboundDurabilityHook for InboxHook {
    async fn on_messages(&self, client: Arc<Client>, batch: &[InboundMessage]) -> anyhow::Result<()> {
        self.traffic.message_received();
        let mut columns = InboxColumns::default();
        for item in batch.iter().filter(|item| !is_housekeeping(item)) {
            let source = &item.info.source;
            let sender = phone_form(&client, &source.sender, source.sender_alt.as_ref()).await;
            let chat = if source.is_group || !source.chat.is_same_user_as(&source.sender) {
                phone_form(&client, &source.chat, source.recipient_alt.as_ref()).await
            } else {
                sender.clone()
            };
            let choices = self.choices(&client, &item.message, &source.sender).await?;
            let envelope = Envelope {
                chat,
                sender,
                id: &item.info.id,
                from_me: source.is_from_me,
                push_name: Some(&item.info.push_name),
                at: item.info.timestamp,
            };
            columns.push(envelope, &item.message, choices)?;
        }
        if !columns.ids.is_empty() {
            self.store(&columns).await?;
        }
        for item in batch {
            self.redelivered.stored(&item.info.id);
        }
        Ok(())
    }
}

impl InboxHook {
    /// The options that a vote chose; `None` for a message that is not a vote.
    async fn choices(&self, client: &Client, message: &wa::Message, voter: &Jid) -> anyhow::Result<Option<Value>> {
        let message = message.get_base_message();
        if !message.poll_update_message.is_set() {
            return Ok(None);
        }
        let ask = || votes::choices(client, &self.hold.db, self.hold.fence.session_id, message, voter);
        Ok(self.hold.ask(ask).await?.map(Value::from))
    }

    async fn store(&self, c: &InboxColumns) -> anyhow::Result<()> {
        let store = || {
            sqlx::query_file!(
                "sql/messages/store_inbox.sql",
                self.hold.fence.session_id,
                self.hold.fence.epoch,
                &c.chats,
                &c.senders,
                &c.ids,
                &c.kinds,
                &c.bodies as &[Option<String>],
                &c.from_me,
                &c.push_names as &[Option<String>],
                &c.times,
                &c.messages,
                &c.quoted_ids as &[Option<String>],
                &c.target_ids as &[Option<String>],
                &c.media as &[Option<Value>],
                &c.choices as &[Option<Value>]
            )
            .fetch_one(&self.hold.db)
        };
        let done =
            self.hold.ask(store).await.inspect_err(
                |error| tracing::warn!(%error, "inbox not written; the server delivers the messages again"),
            )?;
        if !done.held {
            self.hold.lost.cancel();
            anyhow::bail!("the session is no longer held here (epoch {})", self.hold.fence.epoch);
        }
        telemetry::received(done.stored);
        Ok(())
    }
}

/// Messages between this account's own devices that carry keys and settings; nobody wrote them.
fn is_housekeeping(item: &InboundMessage) -> bool {
    matches!(item.info.category, MessageCategory::Peer)
}

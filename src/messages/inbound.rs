//! The durability hook: a message is committed to `wa.inbox` and announced before the library acknowledges it (M4).
//!
//! The server hands over again what was not acknowledged, but not before the next connection, so an outage of the database
//! is waited out as long as the session is held. The unique key (session, chat, sender, message id) makes a repetition
//! harmless.

use super::json;
use super::media::received;
use super::redelivered::Redelivered;
use super::votes;
use crate::auth::Traffic;
use crate::db::Db;
use crate::db::fence::Fence;
use crate::db::outage::outlast;
use crate::telemetry;
use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use wacore::proto_helpers::MessageExt;
use wacore::types::events::InboundMessage;
use wacore::types::message::MessageCategory;
use wacore_binary::{Jid, JidExt};
use whatsapp_rust::client::Client;
use whatsapp_rust::waproto::whatsapp as wa;
use whatsapp_rust::waproto::whatsapp::message::protocol_message::Type;

/// See the module.
#[derive(Debug)]
pub struct InboxHook {
    pool: Db,
    fence: Fence,
    stale: CancellationToken,
    redelivered: Arc<Redelivered>,
    traffic: Arc<Traffic>,
}

impl InboxHook {
    /// For one hold of one session.
    #[must_use]
    pub const fn new(
        pool: Db,
        fence: Fence,
        stale: CancellationToken,
        redelivered: Arc<Redelivered>,
        traffic: Arc<Traffic>,
    ) -> Self {
        Self { pool, fence, stale, redelivered, traffic }
    }
}

/// A batch, column by column, as the statement takes it.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) chats: Vec<String>,
    pub(super) senders: Vec<String>,
    pub(super) ids: Vec<String>,
    pub(super) kinds: Vec<String>,
    pub(super) bodies: Vec<Option<String>>,
    pub(super) quoted_ids: Vec<Option<String>>,
    pub(super) target_ids: Vec<Option<String>>,
    media: Vec<Option<Value>>,
    /// JSON, because an array of arrays has rows of one length.
    choices: Vec<Option<Value>>,
    pub(super) from_me: Vec<bool>,
    pub(super) push_names: Vec<Option<String>>,
    pub(super) times: Vec<DateTime<Utc>>,
    pub(super) messages: Vec<Value>,
}

/// Whose message it is, and where.
pub(super) struct Place<'a> {
    pub(super) chat: Jid,
    pub(super) sender: Jid,
    pub(super) id: &'a str,
    pub(super) from_me: bool,
    pub(super) push_name: Option<&'a str>,
    pub(super) at: DateTime<Utc>,
}

impl Columns {
    /// Adds a message; votes come with what they are for.
    pub(super) fn push(
        &mut self,
        place: Place<'_>,
        message: &wa::Message,
        choices: Option<Value>,
    ) -> anyhow::Result<()> {
        let json = json::of(message).context("the message as JSON")?;
        let Meaning { kind, body, quoted_id, target_id, media } = meaning(message, &json);
        let Place { chat, sender, id, from_me, push_name, at } = place;
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
        self.traffic.came();
        let mut columns = Columns::default();
        for item in batch.iter().filter(|item| !is_housekeeping(item)) {
            let source = &item.info.source;
            let sender = phone_form(&client, &source.sender, source.sender_alt.as_ref()).await;
            let chat = if source.is_group || !source.chat.is_same_user_as(&source.sender) {
                phone_form(&client, &source.chat, source.recipient_alt.as_ref()).await
            } else {
                sender.clone()
            };
            let choices = self.choices(&client, &item.message, &source.sender).await?;
            let place = Place {
                chat,
                sender,
                id: &item.info.id,
                from_me: source.is_from_me,
                push_name: Some(&item.info.push_name),
                at: item.info.timestamp,
            };
            columns.push(place, &item.message, choices)?;
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
    /// What a vote is for.
    async fn choices(&self, client: &Client, message: &wa::Message, voter: &Jid) -> anyhow::Result<Option<Value>> {
        let message = message.get_base_message();
        if !message.poll_update_message.is_set() {
            return Ok(None);
        }
        let look = || votes::choices(client, &self.pool, self.fence.session_id, message, voter);
        Ok(outlast(&self.stale, look).await?.map(Value::from))
    }

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
                &c.messages,
                &c.quoted_ids as &[Option<String>],
                &c.target_ids as &[Option<String>],
                &c.media as &[Option<Value>],
                &c.choices as &[Option<Value>]
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
pub(crate) async fn phone_form(client: &Client, jid: &Jid, alternative: Option<&Jid>) -> Jid {
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

/// What a message is, in the columns of `wa.inbox`.
struct Meaning {
    kind: String,
    /// Text, caption, question, emoji, or new words.
    body: Option<String>,
    /// The message that it answers.
    quoted_id: Option<String>,
    /// The message that it changes.
    target_id: Option<String>,
    /// What its sender says of its file.
    media: Option<Value>,
}

/// Reads `message`, of which `json` was made.
fn meaning(message: &wa::Message, json: &Value) -> Meaning {
    let message = message.get_base_message();
    if let Some(about) = about(message) {
        return about;
    }
    let body = message.text_content().or_else(|| message.get_caption()).or_else(|| question(message));
    Meaning {
        kind: kind(message, json),
        body: body.map(json::storable),
        quoted_id: context(message).and_then(|context| context.stanza_id.as_deref()).map(json::storable),
        target_id: None,
        media: received::described(message),
    }
}

/// A message that is about another one.
fn about(message: &wa::Message) -> Option<Meaning> {
    let about = |kind: &str, body: Option<&str>, key: Option<&wa::MessageKey>| {
        let target_id = key.and_then(|key| key.id.as_deref()).map(json::storable);
        Some(Meaning { kind: kind.into(), body: body.map(json::storable), quoted_id: None, target_id, media: None })
    };
    if let Some(reaction) = message.reaction_message.as_option() {
        return about("reaction", reaction.text.as_deref(), reaction.key.as_option());
    }
    if let Some(vote) = message.poll_update_message.as_option() {
        return about("poll_vote", None, vote.poll_creation_message_key.as_option());
    }
    let protocol = message.protocol_message.as_option()?;
    match protocol.r#type {
        Some(Type::REVOKE) => about("revoke", None, protocol.key.as_option()),
        Some(Type::MESSAGE_EDIT) => {
            let edited = protocol.edited_message.as_option().map(MessageExt::get_base_message);
            let words = edited.and_then(|edited| edited.text_content().or_else(|| edited.get_caption()));
            about("edit", words, protocol.key.as_option())
        }
        _ => None,
    }
}

/// What a message says of the one that it answers.
fn context(message: &wa::Message) -> Option<&wa::ContextInfo> {
    macro_rules! of {
        ($($field:ident)*) => {
            [$(message.$field.as_option().and_then(|content| content.context_info.as_option())),*]
        };
    }
    let contexts = of!(extended_text_message image_message video_message ptv_message audio_message document_message
        sticker_message location_message live_location_message contact_message contacts_array_message
        poll_creation_message poll_creation_message_v2 poll_creation_message_v3);
    contexts.into_iter().flatten().next()
}

fn question(message: &wa::Message) -> Option<&str> {
    let versions =
        [&message.poll_creation_message, &message.poll_creation_message_v2, &message.poll_creation_message_v3];
    versions.into_iter().find_map(|poll| poll.as_option())?.name.as_deref()
}

/// The kind that wa.outbound would have for it, or the name of the content field that is set.
fn kind(message: &wa::Message, json: &Value) -> String {
    let spoken = message.audio_message.as_option().is_some_and(|audio| audio.ptt == Some(true));
    let moving = message.video_message.as_option().is_some_and(|video| video.gif_playback == Some(true));
    let known = [
        ("text", message.conversation.is_some() || message.extended_text_message.is_set()),
        ("image", message.image_message.is_set()),
        ("gif", moving),
        ("video", message.video_message.is_set() || message.ptv_message.is_set()),
        ("voice", spoken),
        ("audio", message.audio_message.is_set()),
        ("document", message.document_message.is_set()),
        ("sticker", message.sticker_message.is_set() || message.lottie_sticker_message.is_set()),
        ("location", message.location_message.is_set() || message.live_location_message.is_set()),
        ("contact", message.contact_message.is_set() || message.contacts_array_message.is_set()),
        ("poll", question(message).is_some()),
    ];
    if let Some((kind, _)) = known.into_iter().find(|(_, is)| *is) {
        return kind.into();
    }
    let content = json.as_object().and_then(|fields| {
        fields.keys().find(|name| !matches!(name.as_str(), "message_context_info" | "sender_key_distribution_message"))
    });
    content.cloned().unwrap_or_else(|| "unknown".into())
}

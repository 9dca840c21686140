//! Messages in columns, as statements take them. What comes from outside becomes storable here (R10).

use super::authors::Authority;
use crate::db::storable::{self, Storable, StorableJson};
use crate::message::json as message_json;
use crate::message::meaning::Meaning;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use wacore_binary::Jid;
use waproto::whatsapp as wa;

/// How often a message is tried whose error may pass; with the pauses between, this takes some seconds.
pub(super) const TRIES: u32 = 8;

/// The kind of a message that was decrypted and is no message of the protocol.
const UNREADABLE: &str = "unreadable";

/// A batch in columns.
#[derive(Default)]
pub(super) struct InboxColumns {
    pub(super) chats: Vec<Storable>,
    pub(super) senders: Vec<Storable>,
    pub(super) ids: Vec<Storable>,
    pub(super) kinds: Vec<&'static str>,
    pub(super) bodies: Vec<Option<Storable>>,
    pub(super) quoted_ids: Vec<Option<Storable>>,
    pub(super) target_ids: Vec<Option<Storable>>,
    pub(super) media: Vec<Option<StorableJson>>,
    /// JSON, because the rows of a Postgres array have one length.
    pub(super) choices: Vec<Option<StorableJson>>,
    pub(super) author_matches: Vec<Option<bool>>,
    pub(super) by_admin: Vec<Option<bool>>,
    pub(super) from_me: Vec<bool>,
    pub(super) push_names: Vec<Option<Storable>>,
    pub(super) times: Vec<DateTime<Utc>>,
    pub(super) messages: Vec<StorableJson>,
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
        meaning: Meaning,
        choices: Option<Value>,
        authority: Authority,
    ) {
        match message_json::of(message) {
            Ok(json) => self.add(envelope, meaning, choices, authority, json),
            Err(error) => {
                tracing::warn!(%error, "message not convertible; stored without content");
                self.push_unreadable(envelope);
            }
        }
    }

    /// Adds a message of which nothing but its envelope can be read.
    pub(super) fn push_unreadable(&mut self, envelope: Envelope<'_>) {
        let meaning = Meaning { kind: UNREADABLE, ..Meaning::default() };
        self.add(envelope, meaning, None, Authority::default(), json!({}));
    }

    fn add(
        &mut self,
        envelope: Envelope<'_>,
        meaning: Meaning,
        choices: Option<Value>,
        authority: Authority,
        message: Value,
    ) {
        let Meaning { kind, body, quoted_id, target_id, media } = meaning;
        let Envelope { chat, sender, id, from_me, push_name, at } = envelope;
        let id_of = |id: Option<String>| id.as_deref().map(Storable::id);
        self.chats.push(Storable::id(&chat.to_string()));
        self.senders.push(Storable::id(&sender.to_string()));
        self.ids.push(Storable::id(id));
        self.kinds.push(kind);
        self.bodies.push(body.as_deref().map(Storable::text));
        self.quoted_ids.push(id_of(quoted_id));
        self.target_ids.push(id_of(target_id));
        self.media.push(media.map(StorableJson::new));
        self.choices.push(choices.map(StorableJson::new));
        self.author_matches.push(authority.author_matches);
        self.by_admin.push(authority.by_admin);
        self.from_me.push(from_me);
        self.push_names.push(push_name.filter(|name| !name.is_empty()).map(Storable::name));
        self.times.push(storable::time(at));
        self.messages.push(StorableJson::new(message));
    }

    /// Where the messages of a chat with that id stand.
    pub(super) fn with_id<'a>(&'a self, chats: &'a [Storable], id: &'a Storable) -> impl Iterator<Item = usize> + 'a {
        (0..self.ids.len()).filter(move |at| self.ids[*at] == *id && chats.contains(&self.chats[*at]))
    }

    /// A message as the quarantine keeps it.
    pub(super) fn json(&self, item: usize) -> Value {
        json!({
            "chat": self.chats[item].as_str(),
            "sender": self.senders[item].as_str(),
            "message_id": self.ids[item].as_str(),
            "from_me": self.from_me[item],
            "sent_at": self.times[item],
            "message": self.messages[item].value(),
        })
    }
}

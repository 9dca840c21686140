//! The parties of an exchange: a simulated phone, or a client of any kind.

use anyhow::{Result, bail};
use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::{Map, Value};

/// Something to send. Its JSON is the form of the sandbox's control API and of the Baileys driver.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Draft {
    Text(String),
    Reply { id: String, text: String },
    React { id: String, emoji: String },
    Edit { id: String, text: String },
    Revoke { id: String },
    Image { data: String, mime: String, caption: String },
}

impl Draft {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn image(bytes: &[u8], caption: &str) -> Self {
        Self::Image { data: BASE64_STANDARD.encode(bytes), mime: "image/jpeg".into(), caption: caption.into() }
    }

    pub(super) fn json(&self) -> Result<Value> {
        Ok(serde_json::to_value(self)?)
    }
}

/// A message as a party received it.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) id: String,
    /// The number of the other side, or the address of the group.
    pub(super) chat: String,
    /// The author's number.
    pub(super) sender: String,
    pub(super) from_me: bool,
    /// The whole message; see [`canonical`].
    pub(super) content: Value,
}

impl Received {
    /// The words of a text message.
    pub(super) fn text(&self) -> Option<&str> {
        text(&self.content)
    }

    /// A field of the content: `at("reactionmessage.key.id")`.
    pub(super) fn at(&self, path: &str) -> Option<&str> {
        path.split('.').try_fold(&self.content, |value, key| value.get(key))?.as_str()
    }
}

/// The words of a text message in canonical form.
pub(super) fn text(content: &Value) -> Option<&str> {
    content["conversation"].as_str().or_else(|| content["extendedtextmessage"]["text"].as_str())
}

/// The progress of a message, by the receipts that its sender received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ticks {
    Delivered,
    Read,
}

/// Sends and receives messages.
#[async_trait(?Send)]
pub(super) trait Party {
    fn number(&self) -> &str;

    /// Sends to a number or to a group's address. Returns the message's id, or the id of the changed message where the
    /// library returns that.
    async fn send(&mut self, to: &str, draft: Draft) -> Result<String>;

    /// Waits for a message, or finds it among the earlier ones.
    async fn find(&mut self, what: &str, pick: Pick<'_>) -> Result<Received>;

    /// The decrypted file of a received message.
    async fn file(&mut self, message: &Received) -> Result<Vec<u8>>;

    /// Waits for a receipt for an own message.
    async fn ticked(&mut self, id: &str, ticks: Ticks) -> Result<()>;
}

/// The way to link a client.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    Qr,
    Code,
}

/// Selects a message.
pub(super) type Pick<'a> = &'a (dyn Fn(&Received) -> bool + Sync);

/// A client library, linked to a number.
#[async_trait(?Send)]
pub(super) trait Client: Party {
    /// Goes offline, and keeps its state.
    async fn stop(&mut self) -> Result<()>;

    /// Comes online again as the same device.
    async fn start(&mut self) -> Result<()>;

    /// The texts received since the last start, in the order in which the library reported them.
    fn texts(&self) -> Vec<String>;

    /// How often the client showed a QR code or a pairing code.
    fn codes_shown(&self) -> usize;

    /// Sends the read receipt for a received message.
    async fn read(&mut self, message: &Received) -> Result<()>;

    /// Creates a group with itself and these numbers; returns its address.
    async fn create_group(&mut self, subject: &str, participants: &[&str]) -> Result<String>;

    /// Unlinks itself.
    async fn log_out(&mut self) -> Result<()>;

    /// Waits until the library reports that the device is unlinked.
    async fn logged_out(&mut self) -> Result<()>;
}

/// An address in one form: a number for a user, whichever of its two addresses a library uses. The sandbox's LIDs are
/// the number with a leading 9.
pub(super) fn address(jid: &str) -> String {
    match jid.strip_suffix("@lid").and_then(|lid| lid.strip_prefix('9')) {
        Some(number) => number.to_owned(),
        None => jid.trim_end_matches("@s.whatsapp.net").to_owned(),
    }
}

/// One form for messages of all libraries and of the control API: field names without case and underscores, bytes as
/// base64, numbers as text, no unset fields. Parts for a single recipient are removed: the wrapping of a copy for the
/// sender's own devices, the context with its device list and secret, and the sender key that comes with the first
/// message to a group. Of a reaction's target only the id stays, because Baileys rewrites the rest to its own view of
/// the chat.
pub(super) fn canonical(message: Value) -> Value {
    let Some(Value::Object(mut fields)) = tidy(message) else { return Value::Object(Map::new()) };
    if let Some(Value::Object(mut sent)) = fields.remove("devicesentmessage")
        && let Some(Value::Object(inner)) = sent.remove("message")
    {
        fields = inner;
    }
    fields.remove("messagecontextinfo");
    fields.remove("senderkeydistributionmessage");
    if let Some(Value::Object(key)) = fields.get_mut("reactionmessage").and_then(|reaction| reaction.get_mut("key")) {
        key.retain(|field, _| field == "id");
    }
    Value::Object(fields)
}

fn tidy(value: Value) -> Option<Value> {
    Some(match value {
        Value::Null => return None,
        Value::Number(number) => number.to_string().into(),
        Value::Array(items) if items.is_empty() => return None,
        Value::Array(items) if bytes(&items).is_some() => BASE64_STANDARD.encode(bytes(&items)?).into(),
        Value::Array(items) => Value::Array(items.into_iter().filter_map(tidy).collect()),
        Value::Object(fields) if fields.get("type").is_some_and(|kind| kind == "Buffer") => fields.get("data")?.clone(),
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter_map(|(key, value)| Some((key.replace('_', "").to_lowercase(), tidy(value)?)))
                .collect(),
        ),
        other => other,
    })
}

/// Every list of small numbers in a message holds bytes.
fn bytes(items: &[Value]) -> Option<Vec<u8>> {
    items.iter().map(|item| u8::try_from(item.as_u64()?).ok()).collect()
}

/// Checks that two parties have the same message, field by field.
pub(super) fn same(one: &Received, other: &Received) -> Result<()> {
    if one.content != other.content {
        bail!("the same message differs:\n{}\n{}", one.content, other.content);
    }
    if one.id != other.id || one.sender != other.sender {
        bail!("the same message has another head: {one:?} {other:?}");
    }
    Ok(())
}

//! The content of a row of `wa.outbound`, by kind, and the WhatsApp message that it becomes.
//!
//! `sql/schema/30_message_kinds.sql` defines the kinds and their fields, and INSERT has checked every row. The types
//! here parse what those checks accept; a test compares the two.

use super::attachment::{Attachment, MediaKind};
use super::fields::{bytes, jid, jids};
use buffa::MessageField;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wacore::proto_helpers::MessageExt as _;
use wacore_binary::Jid;
use waproto::whatsapp as wa;

/// Why a row is not a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    /// A kind of a later version.
    #[error("kind: \"{0}\" is unknown to this version")]
    Kind(String),
    /// Content that INSERT has not checked.
    #[error("content: {0}")]
    Fields(serde_json::Error),
}

/// The content of a message to send.
#[derive(Debug)]
pub(crate) enum Content {
    Text(String, Text),
    Media(Box<Media>),
    Location(Location),
    Contact(Contact),
    Poll(String, Poll),
    Reaction(String, Target),
    Edit(String, Edit),
    Revoke(Revoke),
    Forward(Forward),
    Read(Read),
    ChatState(ChatStateContent),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Text {
    quote: Option<String>,
    #[serde(deserialize_with = "jids")]
    mentions: Vec<Jid>,
    #[serde(deserialize_with = "jids")]
    audience: Vec<Jid>,
}

/// A file and its caption.
#[derive(Debug)]
pub(crate) struct Media {
    pub(crate) kind: MediaKind,
    pub(crate) attachment: Attachment,
    caption: Option<String>,
    /// The message that names the file on WhatsApp's servers, once it is uploaded.
    pub(crate) uploaded: Option<wa::Message>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Location {
    latitude: f64,
    longitude: f64,
    name: Option<String>,
    address: Option<String>,
    quote: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contact {
    name: String,
    #[serde(default, deserialize_with = "jid")]
    phone: Option<Jid>,
    vcard: Option<String>,
    quote: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Poll {
    options: Vec<String>,
    choices: Option<u32>,
    quote: Option<String>,
    #[serde(deserialize_with = "bytes")]
    secret: Vec<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) message_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    pub(crate) message_id: String,
    #[serde(default, deserialize_with = "jids")]
    pub(crate) mentions: Vec<Jid>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoke {
    pub(crate) message_id: String,
    #[serde(default, deserialize_with = "jids")]
    pub(crate) audience: Vec<Jid>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forward {
    pub(crate) message_id: String,
    #[serde(default, deserialize_with = "jid")]
    pub(crate) chat: Option<Jid>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    pub(crate) message_ids: Vec<String>,
    #[serde(default, deserialize_with = "jid")]
    pub(crate) sender: Option<Jid>,
}

/// What a chat shows about this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChatState {
    Typing,
    Recording,
    Paused,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatStateContent {
    pub(crate) state: ChatState,
}

impl Content {
    /// Parses a row.
    ///
    /// # Errors
    /// A kind of a later version, or content that INSERT has not checked.
    pub(crate) fn read(kind: &str, body: Option<&str>, content: Option<&Value>) -> Result<Self, ContentError> {
        fn of<T: DeserializeOwned>(content: Option<&Value>) -> Result<T, ContentError> {
            let fields = content.cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
            serde_json::from_value(fields).map_err(ContentError::Fields)
        }
        let text = || body.unwrap_or_default().to_owned();
        Ok(match kind {
            "text" => Self::Text(text(), of(content)?),
            "location" => Self::Location(of(content)?),
            "contact" => Self::Contact(of(content)?),
            "poll" => Self::Poll(text(), of(content)?),
            "reaction" => Self::Reaction(text(), of(content)?),
            "edit" => Self::Edit(text(), of(content)?),
            "revoke" => Self::Revoke(of(content)?),
            "forward" => Self::Forward(of(content)?),
            "read" => Self::Read(of(content)?),
            "chat_state" => Self::ChatState(of(content)?),
            other if let Some(kind) = MediaKind::parse(other) => {
                let caption = body.map(str::to_owned);
                Self::Media(Box::new(Media { kind, attachment: of(content)?, caption, uploaded: None }))
            }
            other => return Err(ContentError::Kind(other.to_owned())),
        })
    }

    /// The people who may see the message, if they are not those of the chat.
    pub(crate) fn audience(&self) -> &[Jid] {
        match self {
            Self::Text(_, Text { audience, .. }) | Self::Revoke(Revoke { audience, .. }) => audience,
            Self::Media(media) => &media.attachment.audience,
            _ => &[],
        }
    }

    /// The message, if the content stands alone; else the content itself, because it refers to another message, or its
    /// file is not uploaded.
    pub(crate) fn standalone(self) -> Result<Standalone, Self> {
        let (message, quote, mentions) = match self {
            Self::Text(text, Text { quote, mentions, .. }) => (text_message(text), quote, mentions),
            Self::Media(media) if media.uploaded.is_some() => {
                let Media { mut attachment, caption, uploaded, .. } = *media;
                let mut message = uploaded.unwrap_or_default();
                let (quote, mentions) = (attachment.quote.take(), std::mem::take(&mut attachment.mentions));
                attachment.describe(&mut message, caption);
                (message, quote, mentions)
            }
            Self::Location(Location { latitude, longitude, name, address, quote }) => {
                let place = wa::message::LocationMessage {
                    degrees_latitude: Some(latitude),
                    degrees_longitude: Some(longitude),
                    name,
                    address,
                    ..Default::default()
                };
                (wa::Message { location_message: MessageField::some(place), ..Default::default() }, quote, vec![])
            }
            Self::Contact(Contact { name, phone, vcard, quote }) => {
                let vcard = vcard.or_else(|| phone.map(|phone| vcard_of(&name, &phone)));
                let contact = wa::message::ContactMessage { display_name: Some(name), vcard, ..Default::default() };
                (wa::Message { contact_message: MessageField::some(contact), ..Default::default() }, quote, vec![])
            }
            Self::Poll(question, Poll { options, choices, quote, secret }) => {
                (poll(question, options, choices.unwrap_or(1), secret), quote, vec![])
            }
            referring => return Err(referring),
        };
        Ok(Standalone { message, quote, mentions })
    }
}

/// A message that stands alone.
pub(crate) struct Standalone {
    /// Without quote and mentions.
    pub(crate) message: wa::Message,
    /// Id of the message that it quotes.
    pub(crate) quote: Option<String>,
    pub(crate) mentions: Vec<Jid>,
}

fn text_message(text: String) -> wa::Message {
    wa::Message { conversation: Some(text), ..Default::default() }
}

pub(crate) fn mentioning(text: String, mentions: &[Jid]) -> wa::Message {
    let mut message = text_message(text);
    if !mentions.is_empty() {
        let mentioned_jid = mentions.iter().map(Jid::to_string).collect();
        let _ = message.set_context_info(wa::ContextInfo { mentioned_jid, ..Default::default() });
    }
    message
}

/// Puts a document with a caption into the wrapper for such documents; without it the apps do not show the caption.
pub(crate) fn captioned(message: wa::Message) -> wa::Message {
    if message.document_message.as_option().is_none_or(|document| document.caption.is_none()) {
        return message;
    }
    let wrapping = wa::message::FutureProofMessage { message: MessageField::some(message) };
    wa::Message { document_with_caption_message: MessageField::some(wrapping), ..Default::default() }
}

/// A vCard as the apps write it: `waid` lets the reader start a chat with the number.
fn vcard_of(name: &str, phone: &Jid) -> String {
    let escaped: String =
        name.chars().flat_map(|c| ['\\', c].into_iter().skip(usize::from(!",;\\".contains(c)))).collect();
    let name = escaped.replace('\n', "\\n").replace('\r', "");
    let number = &phone.user;
    format!(
        "BEGIN:VCARD\nVERSION:3.0\nN:;{name};;;\nFN:{name}\nTEL;type=CELL;type=VOICE;waid={number}:+{number}\nEND:VCARD"
    )
}

fn poll(question: String, options: Vec<String>, choices: u32, secret: Vec<u8>) -> wa::Message {
    let option = |name| wa::message::poll_creation_message::Option { option_name: Some(name), ..Default::default() };
    let poll = MessageField::some(wa::message::PollCreationMessage {
        name: Some(question),
        options: options.into_iter().map(option).collect(),
        selectable_options_count: Some(choices),
        ..Default::default()
    });
    let context = wa::MessageContextInfo { message_secret: Some(secret), ..Default::default() };
    let message = wa::Message { message_context_info: MessageField::some(context), ..Default::default() };
    // As in WhatsApp Web: version 3 is for a single choice.
    if choices == 1 {
        wa::Message { poll_creation_message_v3: poll, ..message }
    } else {
        wa::Message { poll_creation_message: poll, ..message }
    }
}

pub(crate) fn protocol(message: wa::message::ProtocolMessage) -> wa::Message {
    wa::Message { protocol_message: MessageField::some(message), ..Default::default() }
}

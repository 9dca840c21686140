//! The content of messages: an owner's action converted to a message, and a message converted to the owner's view.

use chrono::Utc;
use serde::Deserialize;
use wacore::download::MediaType;
use wacore::proto_helpers::{MessageBuilderExt as _, MessageExt as _, build_quote_context, build_reaction_message};
use wacore_binary::{Jid, JidExt as _};
use waproto::whatsapp::message::ProtocolMessage;
use waproto::whatsapp::message::protocol_message::Type;
use waproto::whatsapp::{ContextInfo, Message, MessageKey};

use super::PhoneError;
use super::attachment::{Attachment, Audio, Document, Sticker, Visual};
use super::inbox::{Entry, Inbox};

/// What the owner of a phone writes or does in a chat. Messages are named by their id.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in super::super) enum Draft {
    /// A text.
    Text(String),
    /// A text that quotes a message of the chat.
    Reply { id: String, text: String },
    /// An emoji on a message; an empty one removes it.
    React { id: String, emoji: String },
    /// New text for an own message.
    Edit { id: String, text: String },
    /// Deletes an own message for everyone.
    Revoke { id: String },
    /// An image.
    Image(Visual),
    /// A video.
    Video(Visual),
    /// An audio file or voice message.
    Audio(Audio),
    /// Any other file.
    Document(Document),
    /// A sticker.
    Sticker(Sticker),
}

impl Draft {
    pub(super) fn attachment(&self) -> Option<Attachment> {
        let (kind, data) = match self {
            Self::Image(it) => (MediaType::Image, &it.data),
            Self::Video(it) => (MediaType::Video, &it.data),
            Self::Audio(it) => (MediaType::Audio, &it.data),
            Self::Document(it) => (MediaType::Document, &it.data),
            Self::Sticker(it) => (MediaType::Sticker, &it.data),
            Self::Text(_) | Self::Reply { .. } | Self::React { .. } | Self::Edit { .. } | Self::Revoke { .. } => {
                return None;
            }
        };
        Some(Attachment { kind, data: data.0.clone() })
    }

    /// The message to encrypt, for the chat `to`; a file is added later.
    pub(super) fn compose(self, to: &Jid, inbox: &Inbox) -> Result<Message, PhoneError> {
        let find = |id: &str| inbox.find(id).ok_or_else(|| PhoneError::NoMessage(id.to_owned()));
        let own = |id: &str| match find(id)? {
            entry if entry.shown.from_me => Ok(key(to, entry)),
            _ => Err(PhoneError::NotOurs(id.to_owned())),
        };
        Ok(match self {
            Self::Text(text) => Message::text(text),
            Self::Reply { id, text } => {
                let entry = find(&id)?;
                let quote = build_quote_context(id, entry.shown.sender.as_str(), &entry.content);
                Message::text_with_context(text, quote)
            }
            Self::React { id, emoji } => {
                build_reaction_message(key(to, find(&id)?), emoji, Utc::now().timestamp_millis())
            }
            Self::Edit { id, text } => protocol(ProtocolMessage {
                key: buffa::MessageField::some(own(&id)?),
                r#type: Some(Type::MESSAGE_EDIT),
                edited_message: buffa::MessageField::some(Message::text(text)),
                timestamp_ms: Some(Utc::now().timestamp_millis()),
                ..Default::default()
            }),
            Self::Revoke { id } => protocol(ProtocolMessage {
                key: buffa::MessageField::some(own(&id)?),
                r#type: Some(Type::REVOKE),
                ..Default::default()
            }),
            Self::Image(it) => it.image(),
            Self::Video(it) => it.video(),
            Self::Audio(it) => it.message(),
            Self::Document(it) => it.message(),
            Self::Sticker(it) => it.message(),
        })
    }
}

fn protocol(message: ProtocolMessage) -> Message {
    Message { protocol_message: buffa::MessageField::some(message), ..Default::default() }
}

/// The key with which a message names another one of the chat `to`.
pub(super) fn key(to: &Jid, entry: &Entry) -> MessageKey {
    let shown = &entry.shown;
    MessageKey {
        remote_jid: Some(to.to_string()),
        from_me: Some(shown.from_me),
        id: Some(shown.id.clone()),
        participant: (to.is_group() && !shown.from_me).then(|| shown.sender.clone()),
    }
}

/// The owner's view of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct VisibleContent {
    /// `text`, `image`, `reaction` …
    pub(super) kind: &'static str,
    /// Text, caption or emoji.
    pub(super) text: Option<String>,
    /// The id of the quoted message.
    pub(super) quotes: Option<String>,
    /// The id of the message that a reaction, edit or revocation changes.
    pub(super) target: Option<String>,
}

/// Every known kind, besides `other`.
pub(super) const KINDS: &[&str] = &[
    "text",
    "reaction",
    "revoke",
    "edit",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "location",
    "contact",
    "poll",
    "poll_vote",
];

/// Reads a message. `None` for one without visible content: protocol messages between devices, sender keys.
pub(super) fn visible_content(message: &Message) -> Option<VisibleContent> {
    let message = message.get_base_message();
    let of = |kind, text: Option<&str>, quotes: Option<&str>| {
        Some(VisibleContent { kind, text: text.map(str::to_owned), quotes: quotes.map(str::to_owned), target: None })
    };
    let about = |kind, text: Option<&str>, key: Option<&MessageKey>| {
        let target = key.and_then(|key| key.id.clone());
        Some(VisibleContent { kind, text: text.map(str::to_owned), quotes: None, target })
    };
    if let Some(reaction) = message.reaction_message.as_option() {
        return about("reaction", reaction.text.as_deref(), reaction.key.as_option());
    }
    if let Some(protocol) = message.protocol_message.as_option() {
        let (key, edited) = (protocol.key.as_option(), protocol.edited_message.as_option());
        return match protocol.r#type {
            Some(Type::REVOKE) => about("revoke", None, key),
            Some(Type::MESSAGE_EDIT) => {
                about("edit", edited.and_then(|edited| edited.get_base_message().text_content()), key)
            }
            _ => None,
        };
    }
    if let Some(text) = message.extended_text_message.as_option() {
        let quotes = text.context_info.as_option().and_then(|context| context.stanza_id.as_deref());
        return of("text", text.text.as_deref(), quotes);
    }
    if let Some(text) = message.conversation.as_deref().filter(|text| !text.is_empty()) {
        return of("text", Some(text), None);
    }
    let polls = [&message.poll_creation_message, &message.poll_creation_message_v3];
    let poll = polls.into_iter().find_map(|poll| poll.as_option());
    let words = message.get_caption().or_else(|| poll?.name.as_deref());
    let kinds = [
        ("image", message.image_message.is_set()),
        ("video", message.video_message.is_set() || message.ptv_message.is_set()),
        ("audio", message.audio_message.is_set()),
        ("document", message.document_message.is_set()),
        ("sticker", message.sticker_message.is_set()),
        ("location", message.location_message.is_set()),
        ("contact", message.contact_message.is_set() || message.contacts_array_message.is_set()),
        ("poll", poll.is_some()),
        ("poll_vote", message.poll_update_message.is_set()),
    ];
    if let Some((kind, _)) = kinds.into_iter().find(|(_, set)| *set) {
        let context = context(message);
        return of(kind, words, context.and_then(|context| context.stanza_id.as_deref()));
    }
    is_chat(message).then(|| VisibleContent { kind: "other", ..VisibleContent::default() })
}

/// The quote's context of a message other than a text.
fn context(message: &Message) -> Option<&ContextInfo> {
    let media = [
        message.image_message.as_option().map(|it| &it.context_info),
        message.video_message.as_option().map(|it| &it.context_info),
        message.audio_message.as_option().map(|it| &it.context_info),
        message.document_message.as_option().map(|it| &it.context_info),
        message.sticker_message.as_option().map(|it| &it.context_info),
        message.location_message.as_option().map(|it| &it.context_info),
        message.contact_message.as_option().map(|it| &it.context_info),
        message.poll_creation_message.as_option().map(|it| &it.context_info),
        message.poll_creation_message_v3.as_option().map(|it| &it.context_info),
    ];
    media.into_iter().flatten().find_map(|context| context.as_option())
}

/// Whether any visible content is left.
fn is_chat(message: &Message) -> bool {
    use buffa::Message as _;
    let mut rest = message.clone();
    rest.sender_key_distribution_message = buffa::MessageField::none();
    rest.message_context_info = buffa::MessageField::none();
    !rest.encode_to_vec().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use waproto::whatsapp::MessageContextInfo;

    #[test]
    fn x1_a_composed_message_reads_back_as_its_draft() -> Result<(), PhoneError> {
        let (mut inbox, bob) = (Inbox::default(), Jid::pn("15550002"));
        let mut say = |draft: Draft, id: &str| {
            let message = draft.compose(&bob, &inbox)?;
            let meaning = visible_content(&message);
            inbox.add("15550002@s.whatsapp.net", "15550001@s.whatsapp.net", id, &message, true);
            Ok::<_, PhoneError>(meaning)
        };
        let expect = |kind, text: Option<&str>, quotes: Option<&str>, target: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            Some(VisibleContent { kind, text: owned(text), quotes: owned(quotes), target: owned(target) })
        };
        assert_eq!(say(Draft::Text("hi".into()), "A")?, expect("text", Some("hi"), None, None));
        let reply = Draft::Reply { id: "A".into(), text: "re".into() };
        assert_eq!(say(reply, "B")?, expect("text", Some("re"), Some("A"), None));
        let react = Draft::React { id: "A".into(), emoji: "👍".into() };
        assert_eq!(say(react, "C")?, expect("reaction", Some("👍"), None, Some("A")));
        let edit = Draft::Edit { id: "A".into(), text: "hello".into() };
        assert_eq!(say(edit, "D")?, expect("edit", Some("hello"), None, Some("A")));
        assert_eq!(say(Draft::Revoke { id: "B".into() }, "E")?, expect("revoke", None, None, Some("B")));
        assert!(matches!(say(Draft::Revoke { id: "Z".into() }, "F"), Err(PhoneError::NoMessage(id)) if id == "Z"));
        Ok(())
    }

    #[test]
    fn x1_a_message_without_visible_content_is_not_shown() {
        let context = MessageContextInfo { message_secret: Some(vec![1]), ..Default::default() };
        let bare = Message { message_context_info: buffa::MessageField::some(context), ..Default::default() };
        assert_eq!(visible_content(&bare), None);
        assert_eq!(visible_content(&protocol(ProtocolMessage::default())), None);
    }
}

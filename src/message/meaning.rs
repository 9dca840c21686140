//! A received message in the columns of `wa.inbox`.

use super::card::card;
use super::context::context;
use super::file::description;
use super::notice::{Notice, notice};
use super::unwrap;
use serde_json::Value;
use wacore::proto_helpers::MessageExt as _;
use waproto::whatsapp as wa;
use waproto::whatsapp::message::protocol_message::Type;

/// What becomes of a received message.
pub(crate) enum Received {
    /// A row of `wa.inbox`.
    Message(Meaning),
    /// No row there.
    Notice(Notice),
}

/// The columns of `wa.inbox` that describe a message, as its sender wrote them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Meaning {
    pub(crate) kind: &'static str,
    /// Text, caption, question, emoji, chosen or edited text, title and description.
    pub(crate) body: Option<String>,
    /// Id of the message that this one quotes.
    pub(crate) quoted_id: Option<String>,
    /// Id of the message that this one reacts to, votes on, comments, edits or revokes.
    pub(crate) target_id: Option<String>,
    /// What the sender says about the file.
    pub(crate) media: Option<Value>,
}

/// Describes `message`.
pub(crate) fn received(message: &wa::Message) -> Received {
    let content = unwrap::content(message);
    if let Some(meaning) = referring(content).or_else(|| written(content)) {
        return Received::Message(meaning);
    }
    match notice(content) {
        Some(notice) => Received::Notice(notice),
        None => Received::Message(Meaning { kind: "unknown", ..Meaning::default() }),
    }
}

/// The key of the message that an edit or a revocation changes, and whether it is a revocation.
pub(crate) fn changed(message: &wa::Message) -> Option<(&wa::MessageKey, bool)> {
    let protocol = unwrap::content(message).protocol_message.as_option()?;
    let revokes = match protocol.r#type? {
        Type::REVOKE => true,
        Type::MESSAGE_EDIT => false,
        _ => return None,
    };
    Some((protocol.key.as_option()?, revokes))
}

/// A message that refers to another one: a reaction, a vote, a comment, an edit or a revocation.
fn referring(message: &wa::Message) -> Option<Meaning> {
    let referring = |kind, body: Option<&str>, key: Option<&wa::MessageKey>| {
        let target_id = key.and_then(|key| key.id.clone());
        Some(Meaning { kind, body: body.map(str::to_owned), target_id, ..Meaning::default() })
    };
    if let Some(reaction) = message.reaction_message.as_option() {
        return referring("reaction", reaction.text.as_deref(), reaction.key.as_option());
    }
    if let Some(vote) = message.poll_update_message.as_option() {
        return referring("poll_vote", None, vote.poll_creation_message_key.as_option());
    }
    if let Some(comment) = message.comment_message.as_option() {
        let words = comment.message.as_option().and_then(wa::Message::text_content);
        return referring("comment", words, comment.target_message_key.as_option());
    }
    let protocol = message.protocol_message.as_option()?;
    match protocol.r#type {
        Some(Type::REVOKE) => referring("revoke", None, protocol.key.as_option()),
        Some(Type::MESSAGE_EDIT) => {
            let edited = protocol.edited_message.as_option().map(unwrap::content);
            let text = edited.and_then(|edited| edited.text_content().or_else(|| edited.get_caption()));
            referring("edit", text, protocol.key.as_option())
        }
        _ => None,
    }
}

/// A message with content of its own, of a known kind.
fn written(message: &wa::Message) -> Option<Meaning> {
    let (kind, body) = match kind(message) {
        Some(kind) => {
            let asked = || question(message).and_then(|poll| poll.name.as_deref());
            (kind, message.text_content().or_else(|| message.get_caption()).or_else(asked).map(str::to_owned))
        }
        None => card(message)?,
    };
    let quoted_id = context(message).and_then(|context| context.stanza_id.clone());
    Some(Meaning { kind, body, quoted_id, target_id: None, media: description(message) })
}

/// The poll that a message without wrappers is.
pub(crate) fn question(message: &wa::Message) -> Option<&wa::message::PollCreationMessage> {
    let versions = [
        &message.poll_creation_message,
        &message.poll_creation_message_v2,
        &message.poll_creation_message_v3,
        &message.poll_creation_message_v5,
        &message.poll_creation_message_v6,
    ];
    versions.into_iter().find_map(|poll| poll.as_option())
}

/// The kind that the message would have in `wa.outbound`.
fn kind(message: &wa::Message) -> Option<&'static str> {
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
    known.into_iter().find_map(|(kind, is)| is.then_some(kind))
}

#[cfg(test)]
mod tests;

//! A received message in the columns of `wa.inbox`.

use super::file::description;
use super::json;
use serde_json::Value;
use wacore::proto_helpers::MessageExt as _;
use waproto::whatsapp as wa;
use waproto::whatsapp::message::protocol_message::Type;

/// The columns of `wa.inbox` that describe a message.
pub(crate) struct Meaning {
    pub(crate) kind: String,
    /// Text, caption, question, emoji, or the edited text.
    pub(crate) body: Option<String>,
    /// Id of the message that this one quotes.
    pub(crate) quoted_id: Option<String>,
    /// Id of the message that this one reacts to, votes on, edits or revokes.
    pub(crate) target_id: Option<String>,
    /// What the sender says about the file.
    pub(crate) media: Option<Value>,
}

/// Describes `message`, from which `json` was made.
pub(crate) fn meaning(message: &wa::Message, json: &Value) -> Meaning {
    let message = message.get_base_message();
    if let Some(referring) = referring(message) {
        return referring;
    }
    let body = message.text_content().or_else(|| message.get_caption()).or_else(|| question(message));
    Meaning {
        kind: kind(message, json),
        body: body.map(json::storable),
        quoted_id: context(message).and_then(|context| context.stanza_id.as_deref()).map(json::storable),
        target_id: None,
        media: description(message),
    }
}

/// A message that refers to another one: a reaction, a vote, an edit or a revocation.
fn referring(message: &wa::Message) -> Option<Meaning> {
    let referring = |kind: &str, body: Option<&str>, key: Option<&wa::MessageKey>| {
        let target_id = key.and_then(|key| key.id.as_deref()).map(json::storable);
        Some(Meaning { kind: kind.into(), body: body.map(json::storable), quoted_id: None, target_id, media: None })
    };
    if let Some(reaction) = message.reaction_message.as_option() {
        return referring("reaction", reaction.text.as_deref(), reaction.key.as_option());
    }
    if let Some(vote) = message.poll_update_message.as_option() {
        return referring("poll_vote", None, vote.poll_creation_message_key.as_option());
    }
    let protocol = message.protocol_message.as_option()?;
    match protocol.r#type {
        Some(Type::REVOKE) => referring("revoke", None, protocol.key.as_option()),
        Some(Type::MESSAGE_EDIT) => {
            let edited = protocol.edited_message.as_option().map(wacore::proto_helpers::MessageExt::get_base_message);
            let text = edited.and_then(|edited| edited.text_content().or_else(|| edited.get_caption()));
            referring("edit", text, protocol.key.as_option())
        }
        _ => None,
    }
}

/// The context of a message that quotes another one.
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

/// The kind that the message would have in `wa.outbound`, or the name of the content field that is set.
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

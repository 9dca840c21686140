//! Wrappers of messages.

use wacore::proto_helpers::MessageExt as _;
use waproto::whatsapp as wa;

/// Wrappers within wrappers that are opened. No app makes more; a stranger may.
const DEEPEST: usize = 8;

/// The content of a message within its wrappers: of a disappearing message, an image of an album, a spoiler …
pub(crate) fn content(message: &wa::Message) -> &wa::Message {
    let mut current = message.get_base_message();
    for _ in 0..DEEPEST {
        let Some(inner) = wrapped(current) else { break };
        current = inner.get_base_message();
    }
    current
}

/// The message in a wrapper that the client library leaves closed.
fn wrapped(message: &wa::Message) -> Option<&wa::Message> {
    macro_rules! first {
        ($($field:ident)*) => {
            [$(message.$field.as_option().and_then(|wrapper| wrapper.message.as_option())),*]
        };
    }
    let wrappers = first!(associated_child_message group_mentioned_message bot_invoke_message bot_forwarded_message
        spoiler_message question_message group_status_message group_status_message_v2 poll_creation_message_v4
        lottie_sticker_message);
    wrappers.into_iter().flatten().next()
}

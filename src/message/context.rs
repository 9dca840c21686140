//! The context of a message: which message it quotes, and when it disappears.

use wacore::proto_helpers::MessageExt as _;
use waproto::whatsapp as wa;

/// The contexts of all kinds of content that may have one.
macro_rules! contexts {
    ($message:ident, $of:ident) => {
        contexts!($message, $of, extended_text_message image_message video_message ptv_message audio_message
            document_message sticker_message location_message live_location_message contact_message
            contacts_array_message poll_creation_message poll_creation_message_v2 poll_creation_message_v3
            poll_creation_message_v5 poll_creation_message_v6 buttons_message buttons_response_message list_message
            list_response_message template_message template_button_reply_message interactive_message
            interactive_response_message product_message order_message group_invite_message event_message
            event_invite_message sticker_pack_message album_message newsletter_admin_invite_message
            request_phone_number_message poll_result_snapshot_message)
    };
    ($message:ident, $of:ident, $($field:ident)*) => {
        [$($message.$field.$of().and_then(|content| content.context_info.$of())),*]
    };
}

/// The context of a message without wrappers.
pub(crate) fn context(message: &wa::Message) -> Option<&wa::ContextInfo> {
    contexts!(message, as_option).into_iter().flatten().next()
}

/// The timer of the chat in which a message without wrappers was sent, in seconds, and the moment since when it stands,
/// in seconds since 1970. `None` for a message that does not disappear.
pub(crate) fn timer(message: &wa::Message) -> Option<(u32, Option<i64>)> {
    let context = context(message)?;
    let seconds = context.expiration.filter(|seconds| *seconds > 0)?;
    Some((seconds, context.ephemeral_setting_timestamp))
}

/// Lets a message without wrappers disappear after the timer of its chat; without a timer, not at all, whatever the
/// chat said from which it is forwarded.
pub(crate) fn set_timer(message: &mut wa::Message, seconds: Option<u32>) {
    if let Some(context) = contexts!(message, as_option_mut).into_iter().flatten().next() {
        (context.expiration, context.ephemeral_setting_timestamp) = (None, None);
    }
    if let Some(seconds) = seconds {
        // A text becomes one with a context. The kinds without a field for it do not disappear.
        let _ = message.set_ephemeral_expiration(seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use buffa::MessageField;

    #[test]
    fn m1_a_timer_is_set_read_and_removed() {
        let mut text = wa::Message { conversation: Some("Hi".into()), ..Default::default() };
        set_timer(&mut text, None);
        assert_eq!((text.conversation.as_deref(), timer(&text)), (Some("Hi"), None));
        set_timer(&mut text, Some(86_400));
        assert_eq!((text.text_content(), timer(&text)), (Some("Hi"), Some((86_400, None))));
        let quote = wa::ContextInfo { stanza_id: Some("A".into()), ..Default::default() };
        let reply = wa::message::ListResponseMessage { context_info: MessageField::some(quote), ..Default::default() };
        let mut reply = wa::Message { list_response_message: MessageField::some(reply), ..Default::default() };
        set_timer(&mut reply, Some(604_800));
        assert_eq!(timer(&reply), Some((604_800, None)));
        set_timer(&mut reply, None);
        assert_eq!(timer(&reply), None);
        assert_eq!(context(&reply).and_then(|context| context.stanza_id.as_deref()), Some("A"));
    }
}

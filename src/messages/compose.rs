//! Builds one WhatsApp message from a row's content and the messages that it refers to.

use super::lookup::MessageLookup;
use crate::jobs::JobError;
use crate::message::content::{Content, Edit, Forward, Revoke, Standalone, Target, captioned, mentioning, protocol};
use crate::message::context::set_timer;
use buffa::MessageField;
use wacore::proto_helpers::{MessageExt as _, build_reaction_message};
use wacore_binary::Jid;
use waproto::whatsapp as wa;
use waproto::whatsapp::message::protocol_message::Type;

impl MessageLookup<'_> {
    /// The message to encrypt for the chat `to`; `None` for content that is sent without one. `timer` is that of the
    /// chat, if its messages disappear.
    ///
    /// # Errors
    /// The message that the content refers to is missing, or the database does not answer.
    pub(super) async fn compose(
        &self,
        content: Content,
        to: &Jid,
        timer: Option<u32>,
    ) -> Result<Option<wa::Message>, JobError> {
        let referring = match content.standalone() {
            Ok(Standalone { mut message, quote, mentions }) => {
                let mut quoting = match quote {
                    Some(id) => self.context(to, id).await?,
                    None => wa::ContextInfo::default(),
                };
                quoting.mentioned_jid = mentions.iter().map(Jid::to_string).collect();
                if quoting != wa::ContextInfo::default() {
                    // Every kind that stands alone has a field for a context.
                    let _ = message.set_context_info(quoting);
                }
                set_timer(&mut message, timer);
                return Ok(Some(captioned(message)));
            }
            Err(referring) => referring,
        };
        Ok(Some(match referring {
            Content::Reaction(emoji, Target { message_id }) => {
                build_reaction_message(self.key(to, message_id).await?, emoji, wacore::time::now_millis())
            }
            Content::Edit(text, Edit { message_id, mentions }) => protocol(wa::message::ProtocolMessage {
                key: MessageField::some(self.own_key(to, message_id).await?),
                r#type: Some(Type::MESSAGE_EDIT),
                edited_message: MessageField::some(mentioning(text, &mentions)),
                timestamp_ms: Some(wacore::time::now_millis()),
                ..Default::default()
            }),
            Content::Revoke(Revoke { message_id, .. }) => protocol(wa::message::ProtocolMessage {
                key: MessageField::some(self.key_to_revoke(to, message_id).await?),
                r#type: Some(Type::REVOKE),
                ..Default::default()
            }),
            Content::Forward(Forward { message_id, chat }) => {
                let message = self.whole(chat.as_ref().unwrap_or(to), &message_id).await?;
                let mut forwarded = *message.get_base_message().prepare_for_forward();
                set_timer(&mut forwarded, timer);
                captioned(forwarded)
            }
            _ => return Ok(None),
        }))
    }
}

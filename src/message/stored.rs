//! Messages in rows, converted back to WhatsApp messages.

use super::content::Content;
use super::json;
use serde_json::Value;
use wacore::reporting_token::{extract_message_secret, generate_reporting_token_content};
use waproto::whatsapp as wa;

/// A row of `wa.outbound` or `wa.inbox`.
pub(crate) struct Stored {
    /// The sender's JID; `None` is this session.
    pub(crate) sender: Option<String>,
    /// The row is of `wa.inbox`. Another device of this account may have sent it.
    pub(crate) received: bool,
    pub(crate) kind: String,
    pub(crate) body: Option<String>,
    pub(crate) content: Option<Value>,
    /// A received message in full; for a sent one, the message that names its file on WhatsApp's servers.
    pub(crate) message: Option<Value>,
}

impl Stored {
    /// The message in full.
    ///
    /// # Errors
    /// The text says why the message cannot be rebuilt.
    pub(crate) fn whole(&self) -> Result<wa::Message, String> {
        let message = self.message.as_ref().map(json::read).transpose().map_err(|error| error.to_string())?;
        if self.received {
            return message.ok_or_else(|| "the row has no message".into());
        }
        let content = Content::read(&self.kind, self.body.as_deref(), self.content.as_ref());
        let mut content = content.map_err(|error| error.to_string())?;
        if let Content::Media(media) = &mut content {
            media.uploaded = message;
        }
        content
            .standalone()
            .map(|it| it.message)
            .map_err(|_| format!("a message of kind {} does not stand alone", self.kind))
    }
}

/// Sets the secret with which reactions and votes to a message of ours are encrypted, if such a message has one and
/// this one has none yet.
pub(crate) fn with_secret(message: &mut wa::Message, secret: impl FnOnce() -> Option<Vec<u8>>) {
    if extract_message_secret(message).is_none()
        && generate_reporting_token_content(message).is_some()
        && let Some(secret) = secret()
    {
        message.message_context_info.get_or_insert_default().message_secret = Some(secret);
    }
}

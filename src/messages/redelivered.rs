//! Messages that the server hands over again, and the one among them that the library has read and nobody has kept.
//!
//! The library writes all ratchets whenever one of them has to be, also that of a message that it has decrypted and whose
//! row is still being written. A worker that is killed between the two leaves a ratchet that has gone past the message,
//! and no message. At the next connection it comes again, cannot be decrypted a second time, and would be taken for one
//! that was had: acknowledged, and lost (R2). So its sender is asked for it again, as for every message that could not be
//! read, and encrypts it anew under the same id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wacore_binary::OwnedNodeRef;
use whatsapp_rust::client::Client;
use whatsapp_rust::{RetryReason, RetryRequestOptions};

/// So many stanzas of one session are remembered. One that is not, and is missed, comes again at the next connection.
const MOST: usize = 4096;

/// The stanzas that came again and are not done with yet, by message id.
#[derive(Default)]
pub struct Redelivered(Mutex<HashMap<String, Arc<OwnedNodeRef>>>);

impl std::fmt::Debug for Redelivered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Redelivered").field(&self.lock().len()).finish()
    }
}

impl Redelivered {
    /// The stanza of a message came. Remembers those that waited at the server.
    pub fn came(&self, stanza: &Arc<OwnedNodeRef>) {
        let node = stanza.get();
        if node.get_attr("offline").is_none() {
            return;
        }
        let Some(id) = node.get_attr("id") else { return };
        let mut stanzas = self.lock();
        if stanzas.len() < MOST {
            stanzas.insert(id.as_str().into_owned(), stanza.clone());
        }
    }

    /// The message is kept.
    pub fn kept(&self, message_id: &str) {
        self.lock().remove(message_id);
    }

    /// The connection is over; what is not done with comes again.
    pub fn connection_lost(&self) {
        *self.lock() = HashMap::new();
    }

    /// Asks the sender of a missed message to send it again, then acknowledges it; in this order, because what is
    /// acknowledged does not come again.
    pub async fn ask_again(&self, client: &Arc<Client>, message_id: &str) {
        let Some(stanza) = self.lock().remove(message_id) else {
            tracing::warn!(message_id, "a message was decrypted and not kept, and is not known; it will come again");
            return;
        };
        let stanza = stanza.get();
        // Between our own devices there is nothing for an inbox, and nobody has to send it again.
        if stanza.get_attr("category").is_none_or(|category| *category != "peer") {
            tracing::warn!(message_id, "a message was decrypted and not kept; its sender is asked to send it again");
            let options = RetryRequestOptions::new().with_reason(RetryReason::UnknownError);
            if let Err(error) = client.request_message_retry(stanza, options).await {
                tracing::warn!(message_id, %error, "the sender could not be asked; the message will come again");
                return;
            }
        }
        if let Err(error) = client.acknowledge_stanza(stanza).await {
            tracing::debug!(message_id, %error, "not acknowledged; the message will come again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<OwnedNodeRef>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Messages that the server delivers again, among them those that the library decrypted and nobody stored.
//!
//! Whenever the library writes a ratchet, it writes all of them, also the ratchet of a message that is decrypted and
//! whose row is still being written. A worker that is killed between the two writes leaves a ratchet that has moved
//! past the message, and no message. At the next connection the server delivers the message again. It cannot be
//! decrypted a second time and would pass for a duplicate: acknowledged, and lost (R2). So its sender is asked for it
//! again, as for every message that could not be decrypted, and encrypts it again under the same id.

use super::events;
use crate::db::hold::Hold;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wacore::messages::parse_message_info;
use wacore_binary::{Jid, NodeRef, OwnedNodeRef};
use whatsapp_rust::client::Client;
use whatsapp_rust::{RetryReason, RetryRequestOptions};

/// Most stanzas of one session that are remembered. A message beyond that, if it is missed, is delivered again at the
/// next connection.
const MOST: usize = 4096;

/// The stanzas that were delivered again and are not settled yet, by message id.
#[derive(Default)]
pub struct Redelivered(Mutex<HashMap<String, Arc<OwnedNodeRef>>>);

impl std::fmt::Debug for Redelivered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Redelivered").field(&self.lock().len()).finish()
    }
}

impl Redelivered {
    /// The stanza of a message arrived. Remembers it if the message had waited at the server.
    pub fn received(&self, stanza: &Arc<OwnedNodeRef>) {
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

    /// The message is stored.
    pub fn stored(&self, message_id: &str) {
        self.lock().remove(message_id);
    }

    /// The connection is over; the server delivers what is not settled again.
    pub fn connection_lost(&self) {
        *self.lock() = HashMap::new();
    }

    /// Asks the sender of a missed message to send it again, writes an event in case that nobody does, then
    /// acknowledges the message. The order matters, because the server never delivers an acknowledged message again.
    pub async fn request_resend(&self, hold: &Hold, client: &Arc<Client>, message_id: &str) {
        let Some(stanza) = self.lock().remove(message_id) else {
            tracing::warn!(
                message_id,
                "message decrypted but not stored, and its stanza is unknown; the server delivers it again"
            );
            return;
        };
        let stanza = stanza.get();
        // Messages between own devices do not belong into the inbox, so nobody has to send them again.
        if stanza.get_attr("category").is_none_or(|category| *category != "peer") {
            tracing::warn!(message_id, "message decrypted but not stored; asking its sender to send it again");
            let options = RetryRequestOptions::new().with_reason(RetryReason::UnknownError);
            if let Err(error) = client.request_message_retry(stanza, options).await {
                tracing::warn!(message_id, %error, "sender not asked; the server delivers the message again");
                return;
            }
            write_event(hold, client, stanza).await;
        }
        if let Err(error) = client.acknowledge_stanza(stanza).await {
            tracing::debug!(message_id, %error, "message not acknowledged; the server delivers it again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<OwnedNodeRef>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write_event(hold: &Hold, client: &Client, stanza: &NodeRef<'_>) {
    let Some(own) = client.pn() else { return };
    if let Some((kind, data)) = event_of(client, stanza, &own).await {
        events::write(hold, kind, data).await;
    }
}

/// Kind and data of the event for a message to this account that was not stored.
pub(crate) async fn event_of(client: &Client, stanza: &NodeRef<'_>, own: &Jid) -> Option<(&'static str, Value)> {
    let info = parse_message_info(stanza, own, client.lid().as_ref()).ok()?;
    events::undecryptable(client, &info, "not_stored", false).await
}

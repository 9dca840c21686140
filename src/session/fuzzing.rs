//! What WhatsApp and a phone send while a session is linked with a passkey, as a function of bytes (S2, R5).

use super::passkey::primary_of;
use crate::db::storable::StorableJson;
use crate::messages::redelivered::Redelivered;
use std::sync::Arc;
use wacore::shortcake::ShortcakeUtils;
use wacore_binary::OwnedNodeRef;
use whatsapp_rust::passkey::parse_request_options;

/// A demand for a passkey as JSON, a phone's identity, and a stanza that may carry one: each is read, or refused with a
/// reason.
pub fn passkey(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if parse_request_options(&text).is_ok()
        && let Ok(request) = serde_json::from_str(&text)
    {
        drop(StorableJson::new(request));
    }
    drop(ShortcakeUtils::parse_primary_ephemeral_identity(data));
    if let Ok(stanza) = OwnedNodeRef::new(data.to_vec()) {
        let stanza = Arc::new(stanza);
        if let Some(primary) = primary_of(&stanza) {
            drop(ShortcakeUtils::parse_primary_ephemeral_identity(&primary));
        }
        Redelivered::default().received(&stanza);
    }
}

//! Forwards the client's events to the session's supervisor.

use super::passkey;
use crate::auth::Traffic;
use crate::messages::redelivered::Redelivered;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use wacore::types::events::{Event, EventHandler, EventInterest, EventKind};

/// The events that a supervisor acts on. Messages are not among them: the durability hook gets them, before they are
/// acknowledged.
const FORWARDED: &[EventKind] = &[
    EventKind::Connected,
    EventKind::Disconnected,
    EventKind::PairSuccess,
    EventKind::PairError,
    EventKind::PairingQrCode,
    EventKind::PairingQrCodesExhausted,
    EventKind::PairingCode,
    EventKind::PairingCodeError,
    EventKind::PairingCodeRefresh,
    EventKind::PairPasskeyRequest,
    EventKind::LoggedOut,
    EventKind::StreamReplaced,
    EventKind::TemporaryBan,
    EventKind::ConnectFailure,
    EventKind::StreamError,
    EventKind::ServerAck,
    EventKind::Receipt,
    EventKind::RawNode,
    EventKind::IncomingCall,
    EventKind::MissedCall,
    EventKind::GroupUpdate,
    EventKind::PictureUpdate,
    EventKind::Presence,
    EventKind::ChatPresence,
    EventKind::ContactNumberChanged,
    EventKind::IdentityChange,
];

/// Forwards events, and notes the stanzas of messages before the library reads them.
pub(super) struct EventForwarder {
    pub(super) events: UnboundedSender<Arc<Event>>,
    pub(super) redelivered: Arc<Redelivered>,
    pub(super) traffic: Arc<Traffic>,
    /// Whether to forward the history from before the link. The library assembles it only for those who listen for it.
    pub(super) keep_past: bool,
}

impl EventHandler for EventForwarder {
    fn handle_event(&self, event: Arc<Event>) {
        if let Event::RawNode(stanza) = &*event
            && passkey::primary_of(stanza).is_none()
        {
            if stanza.get().tag.as_ref() == "message" {
                self.traffic.message_received();
                self.redelivered.received(stanza);
            }
            return;
        }
        // After the client's end there is no receiver; nobody needs later events.
        drop(self.events.send(event));
    }

    fn interest(&self) -> EventInterest {
        let forwarded = EventInterest::of(FORWARDED);
        if self.keep_past { forwarded.with(EventKind::HistorySync) } else { forwarded }
    }
}

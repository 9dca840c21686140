//! Forwards the client's events to the session's supervisor.

use super::passkey;
use crate::auth::Traffic;
use crate::messages::redelivered::Redelivered;
use crate::telemetry::crypto;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;
use wacore::types::events::{Event, EventHandler, EventInterest, EventKind};
use wacore::types::message::MessageInfo;
use wacore_binary::OwnedNodeRef;

/// The events that a supervisor acts on. The durability hook gets messages, before they are acknowledged; only those
/// that the account's phone sent in place of unreadable ones are forwarded, because the hook does not get them.
/// Errors of the stream come as stanzas, because the library has no event for some of them.
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
    EventKind::ClientOutdated,
    EventKind::ConnectFailure,
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
    EventKind::Messages,
    EventKind::MexNotification,
    EventKind::UndecryptableMessage,
];

/// Most events of a connection that wait for the supervisor: about 10 MB of receipts. The library waits for nobody, so
/// beyond them the socket is closed; the server keeps what comes then for the next connection.
pub(super) const WAITING: usize = 8192;

/// Forwards events, and notes the stanzas of messages before the library reads them.
pub(super) struct EventForwarder {
    pub(super) events: Sender<Arc<Event>>,
    /// Closes the socket.
    pub(super) cut: CancellationToken,
    pub(super) redelivered: Arc<Redelivered>,
    /// Messages that were decrypted and could not be read.
    pub(super) unreadable: Sender<Arc<MessageInfo>>,
    pub(super) traffic: Arc<Traffic>,
    /// Whether to forward the history from before the link. The library assembles it only for those who listen for it.
    pub(super) keep_past: bool,
}

impl EventHandler for EventForwarder {
    fn handle_event(&self, event: Arc<Event>) {
        if let Event::RawNode(stanza) = &*event
            && connection_sign(stanza).is_none()
            && passkey::primary_of(stanza).is_none()
        {
            if stanza.get().tag.as_ref() == "message" {
                self.traffic.message_received();
                self.redelivered.received(stanza);
            }
            return;
        }
        if let Event::Messages(batch) = &*event
            && batch.messages.iter().all(|item| item.info.unavailable_request_id.is_none())
        {
            return;
        }
        // All others were not decrypted; each becomes an event, and its sender is asked for it again.
        if let Event::UndecryptableMessage(message) = &*event
            && crypto::plaintext_unreadable()
        {
            self.forward(&self.unreadable, message.info.clone());
            return;
        }
        self.forward(&self.events, event);
    }

    fn interest(&self) -> EventInterest {
        let forwarded = EventInterest::of(FORWARDED);
        if self.keep_past { forwarded.with(EventKind::HistorySync) } else { forwarded }
    }
}

impl EventForwarder {
    fn forward<T>(&self, to: &Sender<T>, item: T) {
        // After the client's end there is no receiver; nobody needs later events.
        if matches!(to.try_send(item), Err(TrySendError::Full(_))) && !self.cut.is_cancelled() {
            tracing::warn!("{WAITING} events wait for the database; connection closed, so that no more arrive");
            self.cut.cancel();
        }
    }
}

/// What a stanza says about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionSign {
    /// WhatsApp has answered the login.
    Answer,
    /// WhatsApp reports an error of the stream with this code. The connection may continue.
    StreamError(i32),
}

/// What a stanza says about the connection; `None` for any other stanza.
pub(super) fn connection_sign(stanza: &OwnedNodeRef) -> Option<ConnectionSign> {
    let node = stanza.get();
    match node.tag.as_ref() {
        "success" | "failure" => Some(ConnectionSign::Answer),
        "stream:error" => {
            let code = node.get_attr("code").and_then(|code| code.as_str().parse().ok());
            // The child has the meaning of a code.
            let conflict = || {
                let child = node.get_optional_child("conflict")?;
                Some(if child.get_attr("type").is_some_and(|kind| *kind == "replaced") { 440 } else { 401 })
            };
            code.or_else(conflict).map(ConnectionSign::StreamError)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;
    use wacore::types::events::ServerAck;

    #[test]
    fn r6_events_that_nobody_takes_close_the_socket_and_do_not_fill_memory() {
        let (events, mut taken) = mpsc::channel(WAITING);
        let (unreadable, _unreadable) = mpsc::channel(WAITING);
        let forwarder = EventForwarder {
            events,
            cut: CancellationToken::new(),
            redelivered: Arc::default(),
            unreadable,
            traffic: Arc::default(),
            keep_past: false,
        };
        let ack = || Arc::new(Event::ServerAck(ServerAck::builder().id("A".to_owned()).build()));
        (0..WAITING).for_each(|_| forwarder.handle_event(ack()));
        assert!(!forwarder.cut.is_cancelled(), "closed too early");
        (0..10).for_each(|_| forwarder.handle_event(ack()));
        assert!(forwarder.cut.is_cancelled());
        assert_eq!(std::iter::from_fn(|| taken.try_recv().ok()).count(), WAITING);
    }
}

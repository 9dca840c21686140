//! The path to a socket, and the shared state on both sides of its queue.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use wacore_binary::{BinaryError, Node};

use super::account::DeviceId;
use super::ledger::Ticket;
use super::parcel::Parcel;

#[derive(Debug)]
pub(super) enum SocketStanza {
    /// A stanza that is sent once and lost with the socket.
    Stanza(Node),
    /// A stanza from the device's queue.
    Parcel(Parcel),
}

impl SocketStanza {
    /// The ledger's ticket, if it is a message.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Parcel(parcel) => parcel.ticket(),
            Self::Stanza(_) => None,
        }
    }

    pub(super) fn node(&self) -> Result<Cow<'_, Node>, BinaryError> {
        Ok(match self {
            Self::Stanza(node) => Cow::Borrowed(node),
            Self::Parcel(parcel) => Cow::Owned(parcel.node()?),
        })
    }

    /// The encoded stanza.
    pub(super) fn bytes(&self) -> Result<Cow<'_, [u8]>, BinaryError> {
        Ok(match self {
            Self::Stanza(node) => Cow::Owned(wacore_binary::marshal(node)?),
            Self::Parcel(parcel) => Cow::Borrowed(parcel.bytes()),
        })
    }
}

/// An entry of the queue to a socket.
#[derive(Debug)]
pub(super) enum Outgoing {
    SocketStanza(SocketStanza),
    /// A stanza whose fault has been applied already.
    Judged(SocketStanza),
    /// Stops everything behind it until the token is cancelled.
    Hold(CancellationToken),
    Close,
}

/// The shared state of a socket.
#[derive(Debug)]
pub(super) struct SocketState {
    id: u64,
    device: OnceLock<DeviceId>,
    closed: AtomicBool,
    held: Mutex<Option<CancellationToken>>,
    client_closed: CancellationToken,
}

impl SocketState {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The device that logged in on this socket.
    pub(super) fn device(&self) -> Option<&DeviceId> {
        self.device.get()
    }

    /// Stops answers to all further incoming stanzas.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Holds incoming stanzas until the token is cancelled.
    pub(super) fn hold(&self, until: &CancellationToken) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(until.clone());
    }

    /// Cancelled when the client has disconnected.
    pub(super) fn client_closed(&self) -> &CancellationToken {
        &self.client_closed
    }

    fn holder(&self) -> Option<CancellationToken> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The path to a socket. Clones lead to the same one.
#[derive(Debug, Clone)]
pub(super) struct Link {
    wire: Arc<SocketState>,
    sender: UnboundedSender<Outgoing>,
}

impl Link {
    /// A link, and the receiving end of its queue.
    pub(super) fn new(id: u64) -> (Self, UnboundedReceiver<Outgoing>) {
        let (sender, outgoing) = unbounded_channel();
        let wire = SocketState {
            id,
            device: OnceLock::new(),
            closed: AtomicBool::new(false),
            held: Mutex::new(None),
            client_closed: CancellationToken::new(),
        };
        (Self { wire: Arc::new(wire), sender }, outgoing)
    }

    pub(super) fn id(&self) -> u64 {
        self.wire.id
    }

    pub(super) fn send(&self, node: Node) {
        self.push(Outgoing::SocketStanza(SocketStanza::Stanza(node)));
    }

    /// Sends a stanza that stays in the device's queue until it is acknowledged.
    pub(super) fn send_parcel(&self, parcel: Parcel) {
        self.push(Outgoing::SocketStanza(SocketStanza::Parcel(parcel)));
    }

    /// Closes the socket after everything sent before; further incoming stanzas are not answered.
    pub(super) fn close(&self) {
        self.wire.close();
        self.push(Outgoing::Close);
    }

    /// Holds both directions until the token is cancelled.
    pub(super) fn hold(&self, until: &CancellationToken) {
        self.wire.hold(until);
        self.push(Outgoing::Hold(until.clone()));
    }

    fn push(&self, outgoing: Outgoing) {
        // A closed socket loses the stanza; stanzas that must not be lost are in the device's queue.
        let _ = self.sender.send(outgoing);
    }

    /// Records the device that has logged in.
    pub(super) fn set_device(&self, device: &DeviceId) {
        // Each connection logs in only once.
        let _ = self.wire.device.set(device.clone());
    }

    pub(super) fn is_closed(&self) -> bool {
        self.wire.closed.load(Ordering::Relaxed)
    }

    pub(super) fn is_held(&self) -> bool {
        self.wire.holder().is_some_and(|holder| !holder.is_cancelled())
    }

    /// Returns when nothing is held.
    pub(super) async fn released(&self) {
        if let Some(holder) = self.wire.holder() {
            holder.cancelled().await;
        }
    }

    /// For the writing task, which must not keep the queue open that it waits for.
    pub(super) fn writing_end(&self) -> (Arc<SocketState>, WeakUnboundedSender<Outgoing>) {
        (Arc::clone(&self.wire), self.sender.downgrade())
    }

    /// Records that the client has disconnected.
    pub(super) fn disconnected(&self) {
        self.wire.client_closed.cancel();
        self.wire.close();
    }
}

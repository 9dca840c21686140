//! The way to a socket, and what is known of it on both sides of its queue.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use wacore_binary::{BinaryError, Node};

use super::account::DeviceId;
use super::ledger::Ticket;
use super::parcel::Parcel;

/// A stanza for a socket.
#[derive(Debug)]
pub(super) enum Letter {
    /// Said once, and lost with the socket.
    Stanza(Node),
    /// From the device's queue.
    Parcel(Parcel),
}

impl Letter {
    /// Its place in the ledger, if it is a message.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Parcel(parcel) => parcel.ticket(),
            Self::Stanza(_) => None,
        }
    }

    /// What it says.
    pub(super) fn node(&self) -> Result<Cow<'_, Node>, BinaryError> {
        Ok(match self {
            Self::Stanza(node) => Cow::Borrowed(node),
            Self::Parcel(parcel) => Cow::Owned(parcel.node()?),
        })
    }

    /// What a socket takes.
    pub(super) fn bytes(&self) -> Result<Cow<'_, [u8]>, BinaryError> {
        Ok(match self {
            Self::Stanza(node) => Cow::Owned(wacore_binary::marshal(node)?),
            Self::Parcel(parcel) => Cow::Borrowed(parcel.bytes()),
        })
    }
}

/// What the server writes to a socket.
#[derive(Debug)]
pub(super) enum Outgoing {
    Letter(Letter),
    /// A stanza that a fault has had its part in already.
    Judged(Letter),
    /// Nothing behind this goes out before the token is cancelled.
    Hold(CancellationToken),
    Close,
}

/// What there is to know of a socket.
#[derive(Debug)]
pub(super) struct Wire {
    id: u64,
    device: OnceLock<DeviceId>,
    closed: AtomicBool,
    held: Mutex<Option<CancellationToken>>,
    gone: CancellationToken,
}

impl Wire {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Who logged in here.
    pub(super) fn device(&self) -> Option<&DeviceId> {
        self.device.get()
    }

    /// Nothing that comes in from now on is answered.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// What comes in waits until the token is cancelled.
    pub(super) fn hold(&self, until: &CancellationToken) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(until.clone());
    }

    /// Cancelled when the client has left.
    pub(super) fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    fn holder(&self) -> Option<CancellationToken> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The way to a socket. Clones lead to the same one.
#[derive(Debug, Clone)]
pub(super) struct Link {
    wire: Arc<Wire>,
    sender: UnboundedSender<Outgoing>,
}

impl Link {
    /// A link and its other end: what it sends.
    pub(super) fn new(id: u64) -> (Self, UnboundedReceiver<Outgoing>) {
        let (sender, outgoing) = unbounded_channel();
        let wire = Wire {
            id,
            device: OnceLock::new(),
            closed: AtomicBool::new(false),
            held: Mutex::new(None),
            gone: CancellationToken::new(),
        };
        (Self { wire: Arc::new(wire), sender }, outgoing)
    }

    pub(super) fn id(&self) -> u64 {
        self.wire.id
    }

    pub(super) fn send(&self, node: Node) {
        self.push(Outgoing::Letter(Letter::Stanza(node)));
    }

    /// Sends what stays in the device's queue until it is acknowledged.
    pub(super) fn hand(&self, parcel: Parcel) {
        self.push(Outgoing::Letter(Letter::Parcel(parcel)));
    }

    /// Closes the socket behind what was sent before; nothing that comes in from now on is answered.
    pub(super) fn close(&self) {
        self.wire.close();
        self.push(Outgoing::Close);
    }

    /// Nothing passes any more, in either direction, until the token is cancelled.
    pub(super) fn hold(&self, until: &CancellationToken) {
        self.wire.hold(until);
        self.push(Outgoing::Hold(until.clone()));
    }

    fn push(&self, outgoing: Outgoing) {
        // A socket that is gone needs no stanza: what must not be lost is in the device's queue.
        let _ = self.sender.send(outgoing);
    }

    /// The device has logged in.
    pub(super) fn belongs_to(&self, device: &DeviceId) {
        // A connection logs in once.
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

    /// For the task that writes: it must not keep the queue open that it waits for.
    pub(super) fn writing_end(&self) -> (Arc<Wire>, WeakUnboundedSender<Outgoing>) {
        (Arc::clone(&self.wire), self.sender.downgrade())
    }

    /// The client has left.
    pub(super) fn left(&self) {
        self.wire.gone.cancel();
        self.wire.close();
    }
}

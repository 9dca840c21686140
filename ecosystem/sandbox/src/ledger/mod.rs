//! The ledger: the fate of every message, to find lost, duplicated and reordered messages and reused keys.
//!
//! What it promises: each message that the server accepted or refused, and each copy of it, with the order of events;
//! and each key of a ratchet or sender-key chain that encrypted two different texts. The ledger sees what the server
//! sees, ciphertexts and their plain headers; the phones report the messages that they showed.
//!
//! What it does not: it drops the oldest messages beyond its limit and says how many, and starts empty at each start of
//! the sandbox. It does not judge while traffic passes: `verdict` does so on request.
//!
//! | file | content |
//! | --- | --- |
//! | `entry` | one message and its copies |
//! | `book` | the messages in order, found by id; the oldest are dropped |
//! | `chains` | which key of which chain encrypted which ciphertext |
//! | `listing` | filters and pages |
//! | `verdict` | the faults within a range |

mod book;
mod chains;
mod entry;
mod listing;
mod verdict;

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use wacore_binary::Node;

use super::account::DeviceId;
use super::node::text;
use book::Book;
use entry::Flag;
pub(super) use entry::Ticket;
pub(super) use listing::{Filter, Page};

/// Everything that happened to messages. Lock order: the state's lock first, then this one.
pub(super) struct Ledger(Mutex<Book>);

/// The server's knowledge about unacknowledged copies, for the verdict.
pub(super) struct Whereabouts {
    /// Copies in a device's queue.
    pub(super) queued: HashSet<Ticket>,
    /// Every existing device and phone.
    pub(super) devices: HashSet<DeviceId>,
}

impl Ledger {
    /// An empty ledger that remembers up to `limit` messages.
    pub(super) fn new(limit: usize) -> Self {
        Self(Mutex::new(Book::new(limit)))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server accepted a message from a device, in a chat, with a copy for each of these devices.
    pub(super) fn accepted<'a>(
        &self,
        sender: &DeviceId,
        chat: &str,
        message: &Node,
        addressed: impl IntoIterator<Item = &'a DeviceId>,
    ) {
        let mut book = self.book();
        let seq = book.accept(sender, chat, &text(message, "id"));
        for device in addressed {
            book.copy(seq, device);
        }
        book.note(seq, sender, chat, message);
    }

    /// A phone sends a message. Its ciphertexts are recorded with the copies; phones send each other plain text.
    pub(super) fn phone_sends(
        &self,
        phone: &DeviceId,
        chat: &str,
        id: &str,
        addressed: impl IntoIterator<Item = DeviceId>,
    ) {
        let mut book = self.book();
        let seq = book.accept(phone, chat, id);
        for device in addressed {
            let ticket = book.copy(seq, &device);
            if let Some(copy) = ticket.and_then(|ticket| book.at(ticket)).filter(|_| device.device == 0) {
                copy.flags.set(Flag::Routed);
            }
        }
    }

    /// The server refused a message and told its sender.
    pub(super) fn refused(&self, sender: &DeviceId, chat: &str, id: &str, code: u16) {
        self.book().refuse(sender, chat, id, code);
    }

    /// A copy goes to a device's queue or to a phone. A message that a phone sends to devices is recorded with its
    /// first copy.
    pub(super) fn routed(&self, sender: &DeviceId, chat: &str, message: &Node, to: &DeviceId) -> Option<Ticket> {
        let mut book = self.book();
        let id = text(message, "id");
        let seq = match book.find(&sender.number, &id) {
            Some(seq) => seq,
            None if sender.device == 0 => book.accept(sender, chat, &id),
            None => return None,
        };
        if sender.device == 0 {
            book.note(seq, sender, chat, message);
        }
        let ticket = book.copy(seq, to)?;
        let copy = book.at(ticket)?;
        if copy.flags.has(Flag::Retry) {
            // The recipient requested it again, so the earlier acknowledgement no longer counts.
            copy.acknowledged = 0;
            copy.flags.clear(Flag::Retry);
            copy.flags.clear(Flag::Unreadable);
            copy.flags.set(Flag::Resent);
        }
        copy.flags.set(Flag::Routed);
        Some(ticket)
    }

    /// Copies are about to be written to a socket.
    pub(super) fn handed(&self, tickets: impl IntoIterator<Item = Ticket>) {
        let mut book = self.book();
        let now = book.now();
        for ticket in tickets {
            if let Some(copy) = book.at(ticket) {
                copy.hand_over(now);
            }
        }
    }

    /// A device acknowledged copies. One stanza names them all, so they have no order among themselves.
    pub(super) fn acknowledged(&self, tickets: impl IntoIterator<Item = Ticket>) {
        let mut book = self.book();
        let now = book.now();
        for ticket in tickets {
            if let Some(copy) = book.at(ticket) {
                copy.acknowledge(now);
            }
        }
    }

    /// A device or a phone sent a retry receipt for its copy.
    pub(super) fn retry_requested(&self, recipient: &DeviceId, sender: &str, id: &str) {
        let mut book = self.book();
        if let Some(copy) = book.copy_of(sender, id, recipient) {
            copy.flags.set(Flag::Retry);
        }
    }

    /// The queue of a switched-off phone dropped a copy.
    pub(super) fn dropped(&self, phone: &DeviceId, sender: &str, id: &str) {
        let mut book = self.book();
        if let Some(copy) = book.copy_of(sender, id, phone) {
            copy.flags.set(Flag::Dropped);
        }
    }

    /// A phone opened a message, or failed to.
    pub(super) fn opened(&self, phone: &DeviceId, sender: &str, id: &str, readable: bool) {
        let mut book = self.book();
        let now = book.now();
        let Some(copy) = book.copy_of(sender, id, phone) else { return };
        copy.hand_over(now);
        if readable {
            copy.acknowledge(now);
        } else {
            copy.flags.set(Flag::Unreadable);
        }
    }

    /// Records the text of a message, as a phone shows it.
    pub(super) fn record_text(&self, sender: &str, id: &str, words: &str) {
        self.book().record_text(sender, id, words);
    }

    /// The faults within a range.
    pub(super) fn verdict(&self, filter: &Filter, whereabouts: &Whereabouts) -> Value {
        verdict::of(&self.book(), filter, whereabouts)
    }

    pub(super) fn page(&self, filter: &Filter, whereabouts: &Whereabouts) -> Page {
        listing::page(&self.book(), filter, whereabouts)
    }
}

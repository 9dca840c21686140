//! The ledger: what became of every message, for whoever must know whether one was lost, doubled, overtaken or
//! encrypted with a used key.
//!
//! What it promises: each message that the server took or refused, and each copy of it, with the order of what happened
//! to them; and each key of a ratchet or sender-key chain that encrypted two different things. It sees what the server
//! sees, ciphertext and its plain headers; from the phones it hears what their owners were shown.
//!
//! What it does not: it forgets the oldest messages beyond its limit and says how many, and it begins anew with each
//! start of the sandbox. It judges nothing while traffic passes: `verdict` does, when it is asked.
//!
//! | file | idea |
//! | --- | --- |
//! | `entry` | one message and its copies |
//! | `book` | the messages in their order, found by id; the oldest forgotten |
//! | `chains` | which key of which chain encrypted what |
//! | `verdict` | what is wrong within a range |

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

/// Everything that happened to messages. Its lock is taken after the state's, never before.
pub(super) struct Ledger(Mutex<Book>);

/// What the verdict asks the server about a copy that nobody has acknowledged.
pub(super) struct Whereabouts {
    /// Copies that stand in the queue of a device.
    pub(super) queued: HashSet<Ticket>,
    /// Every device and phone that there is.
    pub(super) devices: HashSet<DeviceId>,
}

impl Ledger {
    /// An empty ledger that remembers this many messages.
    pub(super) fn new(limit: usize) -> Self {
        Self(Mutex::new(Book::new(limit)))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server has taken a message from a device: in which chat, and for whom there is a copy.
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

    /// A phone sends a message. Its ciphertexts are seen with the copies; from phone to phone it goes without any.
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

    /// The server has told the sender that it does not take a message.
    pub(super) fn refused(&self, sender: &DeviceId, chat: &str, id: &str, code: u16) {
        self.book().refuse(sender, chat, id, code);
    }

    /// A copy goes to a device's queue or to a phone. What a phone sends between devices is taken with its first copy.
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
            // Asked for again, so what came before was not had.
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
                copy.hand(now);
            }
        }
    }

    /// A device has copies safely. They are named in one stanza, so none comes before the other.
    pub(super) fn acknowledged(&self, tickets: impl IntoIterator<Item = Ticket>) {
        let mut book = self.book();
        let now = book.now();
        for ticket in tickets {
            if let Some(copy) = book.at(ticket) {
                copy.acknowledge(now);
            }
        }
    }

    /// A device or a phone cannot read its copy and asks for another one.
    pub(super) fn asked_again(&self, recipient: &DeviceId, sender: &str, id: &str) {
        let mut book = self.book();
        if let Some(copy) = book.copy_of(sender, id, recipient) {
            copy.flags.set(Flag::Retry);
        }
    }

    /// A phone that is switched off lets a copy go.
    pub(super) fn let_go(&self, phone: &DeviceId, sender: &str, id: &str) {
        let mut book = self.book();
        if let Some(copy) = book.copy_of(sender, id, phone) {
            copy.flags.set(Flag::LetGo);
        }
    }

    /// A phone has opened a message, or failed to.
    pub(super) fn opened(&self, phone: &DeviceId, sender: &str, id: &str, readable: bool) {
        let mut book = self.book();
        let now = book.now();
        let Some(copy) = book.copy_of(sender, id, phone) else { return };
        copy.hand(now);
        if readable {
            copy.acknowledge(now);
        } else {
            copy.flags.set(Flag::Unreadable);
        }
    }

    /// What a message says, as a phone shows it.
    pub(super) fn words(&self, sender: &str, id: &str, words: &str) {
        self.book().words(sender, id, words);
    }

    /// What is wrong within a range.
    pub(super) fn verdict(&self, filter: &Filter, whereabouts: &Whereabouts) -> Value {
        verdict::of(&self.book(), filter, whereabouts)
    }

    /// A page of the messages within a range.
    pub(super) fn page(&self, filter: &Filter, whereabouts: &Whereabouts) -> Page {
        listing::page(&self.book(), filter, whereabouts)
    }
}

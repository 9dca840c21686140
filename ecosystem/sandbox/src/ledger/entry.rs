//! One message and its copies, as small as possible: a ledger holds a million of them.

/// Identifies a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct Ticket {
    /// The message, by its number in the order of acceptance.
    pub(super) seq: u64,
    /// The index of the copy in the message.
    pub(super) copy: u32,
}

/// Microseconds since 1970, each value used once, so that stamps give both time and order. 0 for never.
pub(super) type Stamp = u64;

/// A device; the number is an index into the book's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Party {
    pub(super) number: u32,
    pub(super) device: u16,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sender: Party,
    /// An index into the book's names.
    pub(super) chat: u32,
    pub(super) id: Box<str>,
    /// When the message was accepted or refused.
    pub(super) at: Stamp,
    /// The code of the refusal; 0 for an accepted message.
    pub(super) refused: u16,
    /// How often the sender sent it to the server.
    pub(super) given: u16,
    /// Between devices of one account (keys, history): such a message is in no chat and has no order there.
    pub(super) peer: bool,
    /// A hash of its text, if a phone showed it; else 0.
    pub(super) words: u64,
    pub(super) copies: Vec<Copy>,
    /// The keys that encrypted the message, to drop them together with it.
    pub(super) keys: Vec<u64>,
}

/// The flags of a copy.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Flag {
    /// The copy reached its device's queue or its phone.
    Routed = 1,
    /// The recipient sent a retry receipt and has not received the message again yet.
    Retry = 2,
    /// The message was sent again after a retry receipt.
    Resent = 4,
    /// The phone received the copy and could not read it.
    Unreadable = 8,
    /// The phone was switched off and its queue dropped the copy.
    Dropped = 16,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags(u8);

impl Flags {
    pub(super) fn has(self, flag: Flag) -> bool {
        self.0 & flag as u8 != 0
    }

    pub(super) fn set(&mut self, flag: Flag) {
        self.0 |= flag as u8;
    }

    pub(super) fn clear(&mut self, flag: Flag) {
        self.0 &= !(flag as u8);
    }
}

#[derive(Debug)]
pub(super) struct Copy {
    pub(super) recipient: Party,
    pub(super) flags: Flags,
    /// How often the copy was handed over after it had been acknowledged.
    pub(super) again: u8,
    /// How often the copy was handed over: written to a socket, or opened by a phone.
    pub(super) handed: u16,
    pub(super) first_handed: Stamp,
    pub(super) acknowledged: Stamp,
}

impl Copy {
    pub(super) fn new(recipient: Party) -> Self {
        Self { recipient, flags: Flags::default(), again: 0, handed: 0, first_handed: 0, acknowledged: 0 }
    }

    pub(super) fn hand_over(&mut self, now: Stamp) {
        self.handed = self.handed.saturating_add(1);
        if self.first_handed == 0 {
            self.first_handed = now;
        }
        if self.acknowledged != 0 {
            self.again = self.again.saturating_add(1);
        }
    }

    pub(super) fn acknowledge(&mut self, now: Stamp) {
        if self.acknowledged == 0 {
            self.acknowledged = now;
        }
    }

    /// The copy's position in the recipient's order. A message that was sent again keeps the position of its first
    /// arrival.
    pub(super) fn place(&self) -> Option<Stamp> {
        let place = if self.flags.has(Flag::Resent) { self.first_handed } else { self.acknowledged };
        (self.acknowledged != 0 && place != 0).then_some(place)
    }
}

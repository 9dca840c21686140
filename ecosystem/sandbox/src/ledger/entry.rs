//! One message and its copies, as small as they can be: a ledger holds a million of them.

/// Names a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct Ticket {
    /// The message, by its place in the order of acceptance.
    pub(super) seq: u64,
    /// The copy within it.
    pub(super) copy: u32,
}

/// Microseconds since 1970, and never the same one twice: an order and a time in one. 0 is never.
pub(super) type Stamp = u64;

/// A device, its number by the place in the book's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Party {
    pub(super) number: u32,
    pub(super) device: u16,
}

/// A message that a device or a phone gave to the server.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sender: Party,
    /// By the place in the book's names.
    pub(super) chat: u32,
    pub(super) id: Box<str>,
    /// When it was taken or refused.
    pub(super) at: Stamp,
    /// The code of the refusal; 0 for a message that was taken.
    pub(super) refused: u16,
    /// How often the sender gave it to the server.
    pub(super) given: u16,
    /// Between devices of one account (keys, history): it stands in no chat, so it has no place in the order of one.
    pub(super) peer: bool,
    /// A hash of its words, where a phone showed them; else 0.
    pub(super) words: u64,
    pub(super) copies: Vec<Copy>,
    /// The keys that encrypted it, for forgetting them with it.
    pub(super) keys: Vec<u64>,
}

/// What may be true of a copy.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Flag {
    /// It reached the queue of its device, or its phone.
    Routed = 1,
    /// The recipient has asked for it again and has not got it yet.
    Retry = 2,
    /// It was asked for again and came again.
    Resent = 4,
    /// A phone had it and could not read it.
    Unreadable = 8,
    /// A phone that was switched off let it go.
    LetGo = 16,
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

/// One recipient's copy.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) recipient: Party,
    pub(super) flags: Flags,
    /// How often it was handed over again after it had been acknowledged.
    pub(super) again: u8,
    /// How often it was handed over: written to a socket, or opened by a phone.
    pub(super) handed: u16,
    pub(super) first_handed: Stamp,
    pub(super) acknowledged: Stamp,
}

impl Copy {
    pub(super) fn new(recipient: Party) -> Self {
        Self { recipient, flags: Flags::default(), again: 0, handed: 0, first_handed: 0, acknowledged: 0 }
    }

    pub(super) fn hand(&mut self, now: Stamp) {
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

    /// Where it stands in the recipient's order. A message that had to be sent again had its place when it came first.
    pub(super) fn place(&self) -> Option<Stamp> {
        let place = if self.flags.has(Flag::Resent) { self.first_handed } else { self.acknowledged };
        (self.acknowledged != 0 && place != 0).then_some(place)
    }
}

//! The messages in the order in which the server accepted them, found by sender and id; the oldest are dropped.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use wacore_binary::Node;

use super::super::account::DeviceId;
use super::chains::Chains;
use super::entry::{Copy, Entry, Party, Stamp, Ticket};

pub(super) struct Book {
    limit: usize,
    entries: VecDeque<Entry>,
    /// The number of the oldest remembered entry. The first message has number 1.
    pub(super) first: u64,
    /// The newest message by a hash of its sender's number and its id.
    by_id: HashMap<u64, u64>,
    names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32>,
    pub(super) chains: Chains,
    hasher: RandomState,
    clock: Stamp,
}

impl Book {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            entries: VecDeque::new(),
            first: 1,
            by_id: HashMap::new(),
            names: vec![],
            numbers: HashMap::new(),
            chains: Chains::default(),
            hasher: RandomState::new(),
            clock: 0,
        }
    }

    /// The current time, always later than the previous one.
    pub(super) fn now(&mut self) -> Stamp {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        self.clock = Stamp::try_from(micros).unwrap_or(Stamp::MAX).max(self.clock + 1);
        self.clock
    }

    /// Records an accepted message. The same sender, chat and id mean the same message.
    pub(super) fn accept(&mut self, sender: &DeviceId, chat: &str, id: &str) -> u64 {
        let chat = self.name(chat);
        if let Some(seq) = self.find(&sender.number, id)
            && let Some(known) = self.get_mut(seq).filter(|known| known.chat == chat && known.refused == 0)
        {
            known.given = known.given.saturating_add(1);
            return seq;
        }
        self.add(sender, chat, id, 0)
    }

    pub(super) fn refuse(&mut self, sender: &DeviceId, chat: &str, id: &str, code: u16) {
        let chat = self.name(chat);
        self.add(sender, chat, id, code);
    }

    fn add(&mut self, sender: &DeviceId, chat: u32, id: &str, refused: u16) -> u64 {
        if self.entries.len() >= self.limit {
            self.forget();
        }
        let seq = self.first + self.entries.len() as u64;
        self.by_id.insert(self.key(&sender.number, id), seq);
        let sender = self.party(sender);
        let at = self.now();
        let (copies, keys) = (vec![], vec![]);
        self.entries.push_back(Entry {
            sender,
            chat,
            id: id.into(),
            at,
            refused,
            given: 1,
            peer: false,
            words: 0,
            copies,
            keys,
        });
        seq
    }

    fn forget(&mut self) {
        let Some(oldest) = self.entries.pop_front() else { return };
        let key = self.key(&self.names[oldest.sender.number as usize], &oldest.id);
        if self.by_id.get(&key) == Some(&self.first) {
            self.by_id.remove(&key);
        }
        self.chains.forget(&oldest.keys, self.first);
        self.first += 1;
    }

    fn key(&self, number: &str, id: &str) -> u64 {
        self.hasher.hash_one((number, id))
    }

    /// The newest message with this id of an account.
    pub(super) fn find(&self, number: &str, id: &str) -> Option<u64> {
        self.by_id.get(&self.key(number, id)).copied()
    }

    /// The copy for a device; created if there is none yet.
    pub(super) fn copy(&mut self, seq: u64, device: &DeviceId) -> Option<Ticket> {
        let recipient = self.party(device);
        let copies = &mut self.get_mut(seq)?.copies;
        let place = copies.iter().position(|copy| copy.recipient == recipient).unwrap_or_else(|| {
            copies.push(Copy::new(recipient));
            copies.len() - 1
        });
        Some(Ticket { seq, copy: u32::try_from(place).ok()? })
    }

    /// A copy by its ticket.
    pub(super) fn at(&mut self, ticket: Ticket) -> Option<&mut Copy> {
        self.get_mut(ticket.seq)?.copies.get_mut(ticket.copy as usize)
    }

    /// A device's copy of a message.
    pub(super) fn copy_of(&mut self, sender: &str, id: &str, device: &DeviceId) -> Option<&mut Copy> {
        let seq = self.find(sender, id)?;
        let recipient = self.party(device);
        self.get_mut(seq)?.copies.iter_mut().find(|copy| copy.recipient == recipient)
    }

    /// Records the text of a message, as a phone showed it.
    pub(super) fn record_text(&mut self, sender: &str, id: &str, words: &str) {
        let hash = self.hasher.hash_one(words).max(1);
        if let Some(entry) = self.find(sender, id).and_then(|seq| self.get_mut(seq)) {
            entry.words = hash;
        }
    }

    /// Records the keys that encrypted a message, and whether it is a peer message.
    pub(super) fn note(&mut self, seq: u64, sender: &DeviceId, chat: &str, message: &Node) {
        let keys = self.chains.note(&self.hasher, seq, sender, chat, message);
        if let Some(entry) = self.get_mut(seq) {
            entry.keys.extend(keys);
            entry.peer = message.attrs.get("category").is_some_and(|category| category.as_str() == "peer");
        }
    }

    fn get_mut(&mut self, seq: u64) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(seq.checked_sub(self.first)?).ok()?)
    }

    /// The number of the newest message; 0 before the first one.
    pub(super) fn last(&self) -> u64 {
        self.first + self.entries.len() as u64 - 1
    }

    /// The remembered messages between two numbers, both included.
    pub(super) fn range(&self, from: u64, to: u64) -> impl DoubleEndedIterator<Item = (u64, &Entry)> {
        let from = from.clamp(self.first, self.last() + 1);
        let to = to.min(self.last()).max(from - 1);
        let place = |seq: u64| usize::try_from(seq - self.first).unwrap_or(self.entries.len());
        self.entries
            .range(place(from)..place(to + 1))
            .enumerate()
            .map(move |(index, entry)| (from + index as u64, entry))
    }

    pub(super) fn text(&self, name: u32) -> &str {
        self.names.get(name as usize).map_or("", |name| name)
    }

    pub(super) fn device(&self, party: Party) -> DeviceId {
        DeviceId { number: self.text(party.number).to_owned(), device: party.device }
    }

    fn party(&mut self, device: &DeviceId) -> Party {
        Party { number: self.name(&device.number), device: device.device }
    }

    /// Numbers and chats are few and occur in every message, so each is stored once and never dropped.
    fn name(&mut self, name: &str) -> u32 {
        if let Some(known) = self.numbers.get(name) {
            return *known;
        }
        let place = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.into());
        self.numbers.insert(name.into(), place);
        place
    }
}

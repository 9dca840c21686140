//! What is wrong within a range of messages. `docs/sandbox.md` says what each word means, and this is its only meaning.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::Whereabouts;
use super::book::Book;
use super::entry::{Copy, Entry, Flag, Party, Stamp, Ticket};
use super::listing::{Filter, name};

/// What became of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its device acknowledged it, or its phone showed it.
    Acknowledged,
    /// It waits for its device or its phone.
    Pending,
    /// Its device is not linked, or is no longer.
    Unlinked,
    /// Its phone was switched off and let it go.
    LetGo,
    /// It is nowhere, and this is why.
    Lost(&'static str),
}

impl Fate {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Pending => "pending",
            Self::Unlinked => "unlinked",
            Self::LetGo => "let_go",
            Self::Lost(_) => "lost",
        }
    }
}

pub(super) fn fate(book: &Book, ticket: Ticket, copy: &Copy, whereabouts: &Whereabouts) -> Fate {
    let has = |flag| copy.flags.has(flag);
    let asked_again = has(Flag::Retry);
    if copy.acknowledged != 0 && !asked_again {
        Fate::Acknowledged
    } else if copy.acknowledged == 0 && whereabouts.queued.contains(&ticket) {
        Fate::Pending
    } else if has(Flag::LetGo) {
        Fate::LetGo
    } else if !whereabouts.devices.contains(&book.device(copy.recipient)) {
        Fate::Unlinked
    } else if asked_again {
        Fate::Lost("it could not be read, was asked for again and has not come again")
    } else if has(Flag::Unreadable) {
        Fate::Lost("the phone could not read it")
    } else if !has(Flag::Routed) {
        Fate::Lost("it never reached the queue of its device or its phone")
    } else if copy.recipient.device == 0 {
        Fate::Pending
    } else {
        Fate::Lost("it left the queue of its device without having been acknowledged")
    }
}

/// A list that is cut and counted in full.
struct List<T> {
    items: Vec<T>,
    count: usize,
    limit: usize,
}

impl<T> List<T> {
    fn new(limit: usize) -> Self {
        Self { items: vec![], count: 0, limit }
    }

    fn add(&mut self, item: impl FnOnce() -> T) {
        self.count += 1;
        if self.items.len() < self.limit {
            self.items.push(item());
        }
    }
}

/// A copy, and what is to be said of it.
#[derive(Serialize)]
struct Finding {
    seq: u64,
    id: String,
    sender: String,
    chat: String,
    recipient: String,
    #[serde(flatten)]
    more: Value,
}

fn finding(book: &Book, seq: u64, entry: &Entry, recipient: Party, more: Value) -> Finding {
    Finding {
        seq,
        id: entry.id.to_string(),
        sender: name(book, entry.sender),
        chat: book.text(entry.chat).to_owned(),
        recipient: name(book, recipient),
        more,
    }
}

pub(super) fn of(book: &Book, filter: &Filter, whereabouts: &Whereabouts) -> Value {
    let limit = filter.limit;
    let (mut messages, mut refused, mut let_go) = (0, 0, 0);
    let [mut lost, mut pending, mut unlinked, mut shown_twice] = [(); 4].map(|()| List::new(limit));
    for (seq, entry) in filter.entries(book) {
        if entry.refused != 0 {
            refused += 1;
            continue;
        }
        messages += 1;
        for (ticket, copy) in filter.copies(book, seq, entry) {
            let found = |more| finding(book, seq, entry, copy.recipient, more);
            match fate(book, ticket, copy, whereabouts) {
                Fate::Acknowledged => {}
                Fate::Pending => pending.add(|| found(json!({ "handed": copy.handed }))),
                Fate::Unlinked => unlinked.add(|| found(json!({}))),
                Fate::LetGo => let_go += 1,
                Fate::Lost(why) => lost.add(|| found(json!({ "why": why }))),
            }
            if copy.again != 0 {
                shown_twice.add(|| found(json!({ "again": copy.again, "given": entry.given })));
            }
        }
    }
    let out_of_order = out_of_order(book, filter);
    let repeated_text = repeated_text(book, filter);
    let key_reuse = key_reuse(book, filter);
    let ok = lost.count + shown_twice.count + out_of_order.count + key_reuse.count == 0;
    json!({
        "range": {
            "from": filter.from.unwrap_or(1).max(book.first),
            "to": filter.to.unwrap_or(u64::MAX).min(book.last()),
            "forgotten": book.first - 1,
        },
        "messages": messages,
        "refused": refused,
        "let_go": let_go,
        "counts": {
            "lost": lost.count,
            "pending": pending.count,
            "unlinked": unlinked.count,
            "shown_twice": shown_twice.count,
            "out_of_order": out_of_order.count,
            "key_reuse": key_reuse.count,
            "repeated_text": repeated_text.count,
        },
        "lost": lost.items,
        "pending": pending.items,
        "unlinked": unlinked.items,
        "shown_twice": shown_twice.items,
        "out_of_order": out_of_order.items,
        "key_reuse": key_reuse.items,
        "repeated_text": repeated_text.items,
        "ok": ok,
    })
}

/// Copies that a later message of the same account in the same chat overtook on the way to the same device.
fn out_of_order(book: &Book, filter: &Filter) -> List<Finding> {
    // From the newest back: the earliest place of those that were taken later.
    let mut earliest: HashMap<(u32, u32, Party), (Stamp, u64)> = HashMap::new();
    let mut overtaken = vec![];
    for (seq, entry) in filter.entries(book).rev() {
        for (_, copy) in filter.copies(book, seq, entry) {
            let Some(place) = copy.place() else { continue };
            let lane = (entry.sender.number, entry.chat, copy.recipient);
            let first = earliest.entry(lane).or_insert((place, seq));
            if first.0 < place {
                overtaken.push((seq, entry, copy.recipient, first.1));
            } else {
                *first = (place, seq);
            }
        }
    }
    let mut list = List::new(filter.limit);
    for (seq, entry, recipient, by) in overtaken.into_iter().rev() {
        list.add(|| finding(book, seq, entry, recipient, json!({ "overtaken_by": by })));
    }
    list
}

/// Texts that an account's phone or its recipients' phones showed under more than one id of a chat.
fn repeated_text(book: &Book, filter: &Filter) -> List<Value> {
    let mut seen: HashMap<(u32, u32, u64), u64> = HashMap::new();
    let mut list = List::new(filter.limit);
    for (seq, entry) in filter.entries(book).filter(|(_, entry)| entry.words != 0) {
        let first = *seen.entry((entry.sender.number, entry.chat, entry.words)).or_insert(seq);
        if first != seq {
            list.add(|| {
                json!({
                    "seq": seq,
                    "id": entry.id,
                    "sender": name(book, entry.sender),
                    "chat": book.text(entry.chat),
                    "first": first,
                })
            });
        }
    }
    list
}

/// Keys that encrypted two different things, the second of them within the range.
fn key_reuse(book: &Book, filter: &Filter) -> List<Value> {
    let mut list = List::new(filter.limit);
    for reuse in &book.chains.reuses {
        let within = Filter { from: Some(reuse.second), to: Some(reuse.second), ..filter.clone() };
        let inside =
            filter.from.is_none_or(|from| from <= reuse.second) && filter.to.is_none_or(|to| reuse.second <= to);
        let Some((seq, entry)) = within.entries(book).next().filter(|_| inside) else { continue };
        list.add(|| {
            json!({
                "seq": seq,
                "id": entry.id,
                "sender": name(book, entry.sender),
                "chat": book.text(entry.chat),
                "first": reuse.first,
                "chain": reuse.chain,
                "key": reuse.key,
                "counter": reuse.counter,
            })
        });
    }
    list
}

//! The faults within a range of messages. `docs/sandbox.md` defines each word, and this file implements it.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::Whereabouts;
use super::book::Book;
use super::entry::{Copy, Entry, Flag, Party, Stamp, Ticket};
use super::listing::{Filter, name};

/// The state of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyState {
    /// The device acknowledged the copy, or the phone showed it.
    Acknowledged,
    /// The copy waits for its device or its phone.
    Pending,
    /// The device is not linked, or no longer linked.
    Unlinked,
    /// The phone was switched off and its queue dropped the copy.
    Dropped,
    /// The copy is nowhere; the text gives the reason.
    Lost(&'static str),
}

impl CopyState {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Pending => "pending",
            Self::Unlinked => "unlinked",
            Self::Dropped => "let_go",
            Self::Lost(_) => "lost",
        }
    }
}

pub(super) fn copy_state(book: &Book, ticket: Ticket, copy: &Copy, whereabouts: &Whereabouts) -> CopyState {
    let has = |flag| copy.flags.has(flag);
    let asked_again = has(Flag::Retry);
    if copy.acknowledged != 0 && !asked_again {
        CopyState::Acknowledged
    } else if copy.acknowledged == 0 && whereabouts.queued.contains(&ticket) {
        CopyState::Pending
    } else if has(Flag::Dropped) {
        CopyState::Dropped
    } else if !whereabouts.devices.contains(&book.device(copy.recipient)) {
        CopyState::Unlinked
    } else if asked_again {
        CopyState::Lost("the recipient could not read it and requested it again, and it has not been sent again")
    } else if has(Flag::Unreadable) {
        CopyState::Lost("the phone could not read it")
    } else if !has(Flag::Routed) {
        CopyState::Lost("it never reached its phone or the queue of its device")
    } else if copy.recipient.device == 0 {
        CopyState::Pending
    } else {
        CopyState::Lost("it left the queue of its device unacknowledged")
    }
}

/// A list with a limit, and the full count.
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

/// A message with details of the finding.
#[derive(Serialize)]
struct Message {
    seq: u64,
    id: String,
    sender: String,
    chat: String,
    #[serde(flatten)]
    more: Value,
}

impl Message {
    fn of(book: &Book, seq: u64, entry: &Entry, more: Value) -> Self {
        let (id, chat) = (entry.id.to_string(), book.text(entry.chat).to_owned());
        Self { seq, id, sender: name(book, entry.sender), chat, more }
    }
}

/// A copy of a message with details of the finding.
#[derive(Serialize)]
struct Finding {
    recipient: String,
    #[serde(flatten)]
    message: Message,
}

fn finding(book: &Book, seq: u64, entry: &Entry, recipient: Party, more: Value) -> Finding {
    Finding { recipient: name(book, recipient), message: Message::of(book, seq, entry, more) }
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
            match copy_state(book, ticket, copy, whereabouts) {
                CopyState::Acknowledged => {}
                CopyState::Pending => pending.add(|| found(json!({ "handed": copy.handed }))),
                CopyState::Unlinked => unlinked.add(|| found(json!({}))),
                CopyState::Dropped => let_go += 1,
                CopyState::Lost(why) => lost.add(|| found(json!({ "why": why }))),
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
    // From the newest to the oldest: the earliest acknowledgement of the messages accepted later.
    let mut earliest: HashMap<(u32, u32, Party), (Stamp, u64)> = HashMap::new();
    let mut overtaken = vec![];
    for (seq, entry) in filter.entries(book).rev().filter(|(_, entry)| !entry.peer) {
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

/// Texts that phones showed under more than one id of the same account and chat.
fn repeated_text(book: &Book, filter: &Filter) -> List<Message> {
    let mut seen: HashMap<(u32, u32, u64), u64> = HashMap::new();
    let mut list = List::new(filter.limit);
    for (seq, entry) in filter.entries(book).filter(|(_, entry)| entry.words != 0) {
        let first = *seen.entry((entry.sender.number, entry.chat, entry.words)).or_insert(seq);
        if first != seq {
            list.add(|| Message::of(book, seq, entry, json!({ "first": first })));
        }
    }
    list
}

/// Keys that encrypted two different texts, the second of them within the range.
fn key_reuse(book: &Book, filter: &Filter) -> List<Message> {
    let mut list = List::new(filter.limit);
    for reuse in &book.chains.reuses {
        let within = Filter { from: Some(reuse.second), to: Some(reuse.second), ..filter.clone() };
        let inside =
            filter.from.is_none_or(|from| from <= reuse.second) && filter.to.is_none_or(|to| reuse.second <= to);
        let Some((seq, entry)) = within.entries(book).next().filter(|_| inside) else { continue };
        let more = || json!({ "first": reuse.first, "chain": reuse.chain, "key": reuse.key, "counter": reuse.counter });
        list.add(|| Message::of(book, seq, entry, more()));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::super::super::account::DeviceId;
    use super::super::Ledger;
    use super::*;
    use std::collections::HashSet;
    use wacore_binary::Node;
    use wacore_binary::builder::NodeBuilder;

    const CHAT: &str = "15550002@s.whatsapp.net";

    fn device(number: &str, device: u16) -> DeviceId {
        DeviceId { number: number.to_owned(), device }
    }

    fn message(id: &str) -> Node {
        NodeBuilder::new("message").attr("id", id).build()
    }

    /// Records a message that the server accepts from one device for another.
    fn taken(ledger: &Ledger, id: &str) {
        ledger.accepted(&device("15550001", 1), CHAT, &message(id), [&device("15550002", 1)]);
    }

    fn routed(ledger: &Ledger, id: &str) -> Ticket {
        ledger.routed(&device("15550001", 1), CHAT, &message(id), &device("15550002", 1)).unwrap()
    }

    fn verdict(ledger: &Ledger, queued: &[Ticket]) -> Value {
        let devices = HashSet::from([device("15550002", 0), device("15550002", 1)]);
        let whereabouts = Whereabouts { queued: queued.iter().copied().collect(), devices };
        ledger.verdict(&Filter { limit: 10, ..Filter::default() }, &whereabouts)
    }

    /// The ids in a list of the verdict.
    fn ids<'a>(verdict: &'a Value, kind: &str) -> Vec<&'a str> {
        verdict[kind].as_array().into_iter().flatten().filter_map(|it| it["id"].as_str()).collect()
    }

    #[test]
    fn x2_a_copy_that_is_nowhere_is_lost() {
        let ledger = Ledger::new(10);
        for id in ["DROPPED", "GONE", "WAITS", "HAD"] {
            taken(&ledger, id);
        }
        let (_gone, waits, had) = (routed(&ledger, "GONE"), routed(&ledger, "WAITS"), routed(&ledger, "HAD"));
        ledger.acknowledged([had]);
        let found = verdict(&ledger, &[waits]);
        assert_eq!((ids(&found, "lost"), ids(&found, "pending")), (vec!["DROPPED", "GONE"], vec!["WAITS"]));
        assert!(found["lost"][0]["why"].as_str().unwrap().contains("never reached"), "{found}");
        assert_eq!(found["ok"], false);
        // After a retry receipt the copy is lost until it is sent again.
        ledger.retry_requested(&device("15550002", 1), "15550001", "HAD");
        assert_eq!(ids(&verdict(&ledger, &[waits]), "lost"), ["DROPPED", "GONE", "HAD"]);
        let again = routed(&ledger, "HAD");
        assert_eq!(ids(&verdict(&ledger, &[waits, again]), "pending"), ["WAITS", "HAD"]);
    }

    #[test]
    fn x2_a_copy_sent_again_after_its_acknowledgement_is_shown_twice() {
        let ledger = Ledger::new(10);
        taken(&ledger, "A");
        let copy = routed(&ledger, "A");
        // Handed over twice before the acknowledgement: the device reconnected in between.
        ledger.handed([copy]);
        ledger.handed([copy]);
        ledger.acknowledged([copy]);
        assert_eq!(verdict(&ledger, &[])["ok"], true);
        // The same id from the same sender is the same message.
        taken(&ledger, "A");
        assert_eq!(routed(&ledger, "A"), copy);
        ledger.handed([copy]);
        let found = verdict(&ledger, &[]);
        assert_eq!((&found["messages"], &found["counts"]["shown_twice"]), (&json!(1), &json!(1)), "{found}");
        assert_eq!((&found["shown_twice"][0]["again"], &found["shown_twice"][0]["given"]), (&json!(1), &json!(2)));
        assert_eq!(found["ok"], false);
    }

    #[test]
    fn x2_an_overtaken_message_is_out_of_order() {
        let ledger = Ledger::new(10);
        let [late, second, third, fourth] = ["LATE", "SECOND", "THIRD", "FOURTH"].map(|id| {
            taken(&ledger, id);
            let copy = routed(&ledger, id);
            ledger.handed([copy]);
            copy
        });
        // One receipt for two messages gives them no order.
        ledger.acknowledged([third, second]);
        assert_eq!(verdict(&ledger, &[late, fourth])["ok"], true);
        ledger.acknowledged([late]);
        ledger.acknowledged([fourth]);
        let found = verdict(&ledger, &[]);
        assert_eq!(ids(&found, "out_of_order"), ["LATE"], "{found}");
        assert_eq!((&found["out_of_order"][0]["overtaken_by"], &found["ok"]), (&json!(2), &json!(false)));
        // Messages between devices of one account are in no chat.
        let [key, history] = ["KEY", "HISTORY"].map(|id| {
            let message = NodeBuilder::new("message").attr("id", id).attr("category", "peer").build();
            ledger.routed(&device("15550001", 0), CHAT, &message, &device("15550002", 1)).unwrap()
        });
        ledger.acknowledged([history]);
        ledger.acknowledged([key]);
        assert_eq!(ids(&verdict(&ledger, &[]), "out_of_order"), ["LATE"]);
        // Each chat has an order of its own.
        let filter = Filter { chat: Some("15550009@s.whatsapp.net".into()), limit: 10, ..Filter::default() };
        let nowhere = Whereabouts { queued: HashSet::new(), devices: HashSet::new() };
        assert_eq!(ledger.verdict(&filter, &nowhere)["messages"], 0);
    }

    #[test]
    fn x2_a_retried_copy_keeps_its_first_position() {
        let ledger = Ledger::new(10);
        let [first, second] = ["FIRST", "SECOND"].map(|id| {
            taken(&ledger, id);
            let copy = routed(&ledger, id);
            ledger.handed([copy]);
            copy
        });
        ledger.retry_requested(&device("15550002", 1), "15550001", "FIRST");
        ledger.acknowledged([first]);
        ledger.acknowledged([second]);
        taken(&ledger, "FIRST");
        assert_eq!(routed(&ledger, "FIRST"), first);
        ledger.handed([first]);
        ledger.acknowledged([first]);
        let found = verdict(&ledger, &[]);
        assert_eq!(found["ok"], true, "{found}");
    }

    #[test]
    fn x2_a_list_is_cut_and_its_count_is_not() {
        let ledger = Ledger::new(5);
        for number in 0..7 {
            taken(&ledger, &number.to_string());
        }
        let filter = Filter { from: Some(4), limit: 2, ..Filter::default() };
        let devices = HashSet::from([device("15550002", 1)]);
        let found = ledger.verdict(&filter, &Whereabouts { queued: HashSet::new(), devices });
        assert_eq!((ids(&found, "lost"), &found["counts"]["lost"]), (vec!["3", "4"], &json!(4)), "{found}");
        assert_eq!(found["range"], json!({ "from": 4, "to": 7, "forgotten": 2 }));
    }
}

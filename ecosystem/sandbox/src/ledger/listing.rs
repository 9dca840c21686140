//! Filters of the ledger, and its pages.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Whereabouts;
use super::book::Book;
use super::entry::{Entry, Party, Stamp, Ticket};
use super::verdict::copy_state;

/// Selects messages and their copies.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Filter {
    /// The number of the first message.
    pub(in super::super) from: Option<u64>,
    /// The number of the last message.
    pub(in super::super) to: Option<u64>,
    /// The sender: a phone number, optionally one device of it.
    pub(in super::super) sender: Option<(String, Option<u16>)>,
    /// The recipient: a phone number, optionally one device of it.
    pub(in super::super) recipient: Option<(String, Option<u16>)>,
    /// The group, or either side of a one-to-one chat.
    pub(in super::super) chat: Option<String>,
    /// The start of the message id.
    pub(in super::super) id_prefix: Option<String>,
    /// The greatest length of a list.
    pub(in super::super) limit: usize,
}

impl Filter {
    /// The selected messages.
    pub(super) fn entries<'a>(&'a self, book: &'a Book) -> impl DoubleEndedIterator<Item = (u64, &'a Entry)> {
        let (from, to) = (self.from.unwrap_or(0), self.to.unwrap_or(u64::MAX));
        book.range(from, to).filter(move |(_, entry)| {
            let sender = self.sender.as_ref().is_none_or(|wanted| is(book, entry.sender, wanted));
            // Each side of a one-to-one chat knows it by the other side's number.
            let chat = self.chat.as_ref().is_none_or(|wanted| {
                let (chat, sender) = (book.text(entry.chat), book.text(entry.sender.number));
                chat == wanted || (!chat.ends_with("@g.us") && wanted.split('@').next() == Some(sender))
            });
            let id = self.id_prefix.as_ref().is_none_or(|prefix| entry.id.starts_with(prefix.as_str()));
            sender && chat && id && (self.recipient.is_none() || self.copies(book, 0, entry).next().is_some())
        })
    }

    /// The selected copies of a message.
    pub(super) fn copies<'a>(
        &'a self,
        book: &'a Book,
        seq: u64,
        entry: &'a Entry,
    ) -> impl Iterator<Item = (Ticket, &'a super::entry::Copy)> {
        let copies = (0_u32..).zip(&entry.copies);
        let meant = copies
            .filter(move |(_, copy)| self.recipient.as_ref().is_none_or(|wanted| is(book, copy.recipient, wanted)));
        meant.map(move |(copy, it)| (Ticket { seq, copy }, it))
    }
}

fn is(book: &Book, party: Party, (number, device): &(String, Option<u16>)) -> bool {
    book.text(party.number) == number && device.is_none_or(|device| device == party.device)
}

/// A page of the ledger.
#[derive(Debug, Serialize)]
pub(in super::super) struct Page {
    messages: Vec<Listed>,
    /// The number with which the next page starts.
    next: Option<u64>,
    /// How many messages were dropped, counted from the first.
    forgotten: u64,
}

#[derive(Debug, Serialize)]
struct Listed {
    seq: u64,
    id: String,
    sender: String,
    chat: String,
    at: Option<DateTime<Utc>>,
    /// The error code that the sender received.
    refused: Option<u16>,
    /// How often the sender sent it to the server.
    given: u16,
    copies: Vec<ListedCopy>,
}

#[derive(Debug, Serialize)]
struct ListedCopy {
    recipient: String,
    /// `acknowledged`, `pending`, `lost`, `unlinked` or `let_go`.
    state: &'static str,
    handed: u16,
    first_handed: Option<DateTime<Utc>>,
    acknowledged: Option<DateTime<Utc>>,
}

pub(super) fn page(book: &Book, filter: &Filter, whereabouts: &Whereabouts) -> Page {
    let mut entries = filter.entries(book);
    let messages = entries
        .by_ref()
        .take(filter.limit)
        .map(|(seq, entry)| Listed {
            seq,
            id: entry.id.to_string(),
            sender: name(book, entry.sender),
            chat: book.text(entry.chat).to_owned(),
            at: time(entry.at),
            refused: (entry.refused != 0).then_some(entry.refused),
            given: entry.given,
            copies: filter
                .copies(book, seq, entry)
                .map(|(ticket, copy)| ListedCopy {
                    recipient: name(book, copy.recipient),
                    state: copy_state(book, ticket, copy, whereabouts).name(),
                    handed: copy.handed,
                    first_handed: time(copy.first_handed),
                    acknowledged: time(copy.acknowledged),
                })
                .collect(),
        })
        .collect();
    Page { messages, next: entries.next().map(|(seq, _)| seq), forgotten: book.first - 1 }
}

/// A device as number and device; device 0 is the phone.
pub(super) fn name(book: &Book, party: Party) -> String {
    format!("{}:{}", book.text(party.number), party.device)
}

fn time(stamp: Stamp) -> Option<DateTime<Utc>> {
    (stamp != 0).then(|| DateTime::from_timestamp_micros(i64::try_from(stamp).ok()?)).flatten()
}

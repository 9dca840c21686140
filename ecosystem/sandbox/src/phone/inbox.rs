//! The messages as the owner of a phone sees them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use waproto::whatsapp::Message as Content;

use super::content::{KINDS, VisibleContent, visible_content};
use super::file::{self, Media, MediaState, Pointer};

/// The name of a message kind. With an alias, serde's derive does not try to borrow it.
pub(super) type Kind = &'static str;

/// A message on a phone, identified by chat, sender and id, as in the official app.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each a field of the JSON")]
pub struct Message {
    /// The group or the other side, always as a phone-number address.
    pub chat: String,
    /// Who wrote the message, as a phone-number address.
    pub sender: String,
    /// Chosen by the sender.
    pub id: String,
    /// `text`, `image`, `reaction`, `edit`, `revoke` …; `other` for a kind that the sandbox does not know.
    #[serde(deserialize_with = "known_kind")]
    pub kind: Kind,
    /// Text, caption or emoji, as last edited.
    pub text: Option<String>,
    /// The id of the quoted message.
    pub quotes: Option<String>,
    /// The id of the message that a reaction, edit or revocation changes.
    pub target: Option<String>,
    /// Whether the owner's account wrote it, on the phone or on a linked device.
    pub from_me: bool,
    /// How often it arrived. Above 1, it has duplicates, which the owner does not see.
    pub arrivals: u32,
    /// When it first arrived.
    pub at: DateTime<Utc>,
    /// Whether its sender has edited it.
    pub edited: bool,
    /// Whether its sender has deleted it for everyone.
    pub revoked: bool,
    /// Reactions: the emoji of each person.
    pub reactions: BTreeMap<String, String>,
    /// The ticks of an own message.
    pub ticks: Ticks,
    /// The file of the message.
    pub media: Option<Media>,
    /// In a group and for a status, the ticks of each participant.
    pub receipts: BTreeMap<String, Ticks>,
    /// Whether the owner has seen it, here or on a linked device. Own messages count as seen.
    pub seen: bool,
}

/// The progress of an own message; in a group, that of the slowest participant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ticks {
    /// The server has it.
    #[default]
    Sent,
    /// A device of the recipient has it.
    Delivered,
    /// The recipient has seen it.
    Read,
    /// The recipient has listened to it.
    Played,
}

/// A kind from the state file.
fn known_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static str, D::Error> {
    let kind = String::deserialize(deserializer)?;
    Ok(KINDS.iter().find(|known| **known == kind).unwrap_or(&"other"))
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) shown: Message,
    pub(super) content: Content,
    /// Its file, and the encrypted bytes once the phone has them.
    pub(super) file: Option<(Pointer, Option<Bytes>)>,
}

/// All messages, in the order in which they became readable.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    entries: Vec<Entry>,
    /// The positions of the messages with an id; almost always one.
    by_id: HashMap<String, Vec<usize>>,
    received: u64,
    /// When messages arrived that could not be decrypted and were requested again, by their ids. The official app shows
    /// "Waiting for this message" in their place.
    awaited: HashMap<String, DateTime<Utc>>,
}

impl Inbox {
    /// Keeps the place of a message that could not be decrypted and was requested again.
    pub(super) fn expect(&mut self, id: &str) {
        self.awaited.entry(id.to_owned()).or_insert_with(Utc::now);
    }

    /// Adds a message that arrived or was sent. `false` when it has no visible content.
    pub(super) fn add(&mut self, chat: &str, sender: &str, id: &str, content: &Content, from_me: bool) -> bool {
        let Some(meaning) = visible_content(content) else { return false };
        if let Some(known) = self.with_id(id).find(|it| it.chat == chat && it.sender == sender) {
            known.arrivals += 1;
            return true;
        }
        self.apply(chat, sender, &meaning);
        self.by_id.entry(id.to_owned()).or_default().push(self.entries.len());
        let VisibleContent { kind, text, quotes, target } = meaning;
        let (pointer, media) = file::find(content).unzip();
        self.received += u64::from(!from_me && target.is_none());
        let shown = Message {
            chat: chat.to_owned(),
            sender: sender.to_owned(),
            id: id.to_owned(),
            kind,
            text,
            quotes,
            target,
            from_me,
            arrivals: 1,
            at: self.awaited.remove(id).unwrap_or_else(Utc::now),
            edited: false,
            revoked: false,
            reactions: BTreeMap::new(),
            ticks: Ticks::default(),
            media,
            receipts: BTreeMap::new(),
            seen: from_me,
        };
        let file = pointer.map(|pointer| (pointer, None));
        self.entries.push(Entry { shown, content: content.clone(), file });
        true
    }

    /// Changes the target of a reaction, an edit or a revocation.
    fn apply(&mut self, chat: &str, sender: &str, meaning: &VisibleContent) {
        let Some(target) = meaning.target.as_deref() else { return };
        let Some(target) = self.with_id(target).find(|it| it.chat == chat) else { return };
        let words = meaning.text.as_deref().unwrap_or_default();
        match meaning.kind {
            "reaction" if words.is_empty() => {
                target.reactions.remove(sender);
            }
            "reaction" => {
                target.reactions.insert(sender.to_owned(), words.to_owned());
            }
            // Only the author may edit a message.
            "edit" if target.sender == sender => {
                target.text = Some(words.to_owned());
                target.edited = true;
            }
            "revoke" if target.sender == sender => {
                target.text = None;
                target.revoked = true;
            }
            _ => {}
        }
    }

    /// Applies an admin's revocation: in a group, admins may delete messages of others.
    pub(super) fn moderate(&mut self, chat: &str, content: &Content) {
        let Some(VisibleContent { kind: "revoke", target: Some(target), .. }) = visible_content(content) else {
            return;
        };
        if let Some(target) = self.with_id(&target).find(|it| it.chat == chat) {
            (target.text, target.revoked) = (None, true);
        }
    }

    /// Applies a receipt for an own message; `reader` is the participant in a group.
    pub(super) fn tick(&mut self, id: &str, reader: Option<&str>, ticks: Ticks) {
        for message in self.with_id(id).filter(|message| message.from_me) {
            let mut slowest = ticks;
            if let Some(reader) = reader {
                let known = message.receipts.entry(reader.to_owned()).or_default();
                *known = ticks.max(*known);
                slowest = message.receipts.values().copied().min().unwrap_or_default();
            }
            message.ticks = message.ticks.max(slowest);
        }
    }

    /// Marks a message as seen; `false` when it was seen before.
    pub(super) fn mark_seen(&mut self, id: &str) -> bool {
        let mut new = false;
        for message in self.with_id(id) {
            new |= !std::mem::replace(&mut message.seen, true);
        }
        new
    }

    /// Marks messages as seen on another device.
    pub(super) fn mark_all_seen(&mut self, ids: &[String]) {
        for id in ids {
            self.mark_seen(id);
        }
    }

    /// Marks all messages of a chat as seen; returns sender and id of the new ones.
    pub(super) fn mark_chat_seen(&mut self, chat: &str) -> Vec<(String, String)> {
        let messages = self.entries.iter_mut().map(|entry| &mut entry.shown);
        let new = messages.filter(|message| message.chat == chat && !message.seen);
        new.map(|message| {
            message.seen = true;
            (message.sender.clone(), message.id.clone())
        })
        .collect()
    }

    pub(super) fn unread(&self) -> usize {
        self.entries.iter().filter(|entry| !entry.shown.seen).count()
    }

    /// All chats that have messages.
    pub(super) fn chats(&self) -> BTreeSet<String> {
        self.entries.iter().map(|entry| entry.shown.chat.clone()).collect()
    }

    fn with_id(&mut self, id: &str) -> impl Iterator<Item = &mut Message> {
        let wanted = self.by_id.get(id).map(Vec::as_slice).unwrap_or_default();
        // Ascending positions allow one pass over the entries; there is hardly ever a second entry.
        let (mut rest, mut passed) = (self.entries.as_mut_slice(), 0);
        wanted.iter().filter_map(move |index| {
            let (entry, after) = std::mem::take(&mut rest).get_mut(index - passed..)?.split_first_mut()?;
            (rest, passed) = (after, index + 1);
            Some(&mut entry.shown)
        })
    }

    /// Records the result of a download.
    pub(super) fn fetched(&mut self, id: &str, outcome: Result<Bytes, String>) {
        let newest = self.by_id.get(id).and_then(|indices| indices.last().copied());
        let Some(entry) = newest.and_then(|index| self.entries.get_mut(index)) else { return };
        let (Some(media), Some((_, sealed))) = (&mut entry.shown.media, &mut entry.file) else { return };
        (media.state, media.problem, *sealed) = match outcome {
            Ok(bytes) => (MediaState::Ready, None, Some(bytes)),
            Err(problem) => (MediaState::Unreadable, Some(problem), None),
        };
    }

    /// The file of the newest message with an id.
    pub(super) fn pointer(&mut self, id: &str) -> Option<&mut (Pointer, Option<Bytes>)> {
        let newest = *self.by_id.get(id)?.last()?;
        self.entries.get_mut(newest)?.file.as_mut()
    }

    /// The newest message with an id.
    pub(super) fn find(&self, id: &str) -> Option<&Entry> {
        self.by_id.get(id)?.last().and_then(|index| self.entries.get(*index))
    }

    /// The number of messages from others, without those that only change another one.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The newest message of a chat.
    pub(super) fn last_in(&self, chat: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.shown.chat == chat)
    }

    /// Adds a message of the state file.
    pub(super) fn restore(&mut self, entry: Entry) {
        self.received += u64::from(!entry.shown.from_me && entry.shown.target.is_none());
        self.by_id.entry(entry.shown.id.clone()).or_default().push(self.entries.len());
        self.entries.push(entry);
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All messages, in the order of their first arrival, readable or not.
    pub(super) fn all(&self) -> Vec<Message> {
        let mut all: Vec<_> = self.entries.iter().map(|entry| entry.shown.clone()).collect();
        all.sort_by_key(|message| message.at);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Content {
        Content { conversation: Some(text.into()), ..Default::default() }
    }

    #[test]
    fn x1_a_repeated_message_is_counted_and_not_listed_twice() {
        let mut inbox = Inbox::default();
        for sender in ["b", "b", "c"] {
            inbox.add("b", sender, "1", &text("hi"), false);
        }
        let seen: Vec<_> = inbox.all().into_iter().map(|message| (message.sender, message.arrivals)).collect();
        assert_eq!(seen, [("b".to_owned(), 2), ("c".to_owned(), 1)]);
    }

    #[test]
    fn x1_a_message_that_was_requested_again_keeps_its_place() {
        let mut inbox = Inbox::default();
        inbox.expect("1");
        for id in ["2", "1", "3"] {
            inbox.add("b", "b", id, &text("hi"), false);
        }
        let shown: Vec<_> = inbox.all().into_iter().map(|message| message.id).collect();
        assert_eq!(shown, ["1", "2", "3"]);
    }

    #[test]
    fn x1_ticks_never_go_back() {
        let mut inbox = Inbox::default();
        inbox.add("b", "a", "1", &text("hi"), true);
        for ticks in [Ticks::Read, Ticks::Delivered] {
            inbox.tick("1", None, ticks);
        }
        assert_eq!(inbox.find("1").map(|entry| entry.shown.ticks), Some(Ticks::Read));
        // In a group the ticks are those of the slowest.
        inbox.add("g", "a", "2", &text("hi"), true);
        let ticks = [("b", Ticks::Sent), ("c", Ticks::Sent), ("b", Ticks::Read), ("c", Ticks::Delivered)];
        let shown = ticks.map(|(reader, ticks)| {
            inbox.tick("2", Some(reader), ticks);
            inbox.find("2").map(|entry| entry.shown.ticks)
        });
        assert_eq!(shown, [Ticks::Sent, Ticks::Sent, Ticks::Sent, Ticks::Delivered].map(Some));
    }
}

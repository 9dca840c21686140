//! What the owner of a phone sees.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::Serialize;
use waproto::whatsapp::Message as Content;

use super::content::{Meaning, meaning};

/// A message on a phone. The official app knows a message by chat, sender and id, and so does this list.
#[derive(Debug, Clone, Serialize)]
pub struct Message {
    /// The other side or the group; the other side as a phone-number address whatever form was used on the way.
    pub chat: String,
    /// Who wrote it, likewise.
    pub sender: String,
    /// The id that the sender gave it.
    pub id: String,
    /// `text`, `image`, `reaction`, `edit`, `revoke` …; `other` for what the sandbox has no name for.
    pub kind: &'static str,
    /// Its words: text, caption or emoji, as last edited.
    pub text: Option<String>,
    /// The id of the message that it quotes.
    pub quotes: Option<String>,
    /// The id of the message that it changes: reactions, edits, revocations.
    pub target: Option<String>,
    /// Whether the owner's account wrote it, on the phone or on a linked device.
    pub from_me: bool,
    /// How often it arrived. More than once is a duplicate that the owner does not see.
    pub arrivals: u32,
    /// When it arrived first.
    pub at: DateTime<Utc>,
    /// Whether its sender has changed its words.
    pub edited: bool,
    /// Whether its sender has taken it back.
    pub revoked: bool,
    /// Emoji on it, by who put it there.
    pub reactions: BTreeMap<String, String>,
    /// The ticks of an own message.
    pub ticks: Ticks,
}

/// How far an own message has come with the slowest that is known of its recipient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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

/// A message with its whole content.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) shown: Message,
    pub(super) content: Content,
}

/// All messages, in the order of their first arrival.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    entries: Vec<Entry>,
    /// Where the messages with an id are; almost always one.
    by_id: HashMap<String, Vec<usize>>,
}

impl Inbox {
    /// Adds what arrived or was sent. `false` when nobody sees such a message.
    pub(super) fn add(&mut self, chat: &str, sender: &str, id: &str, content: &Content, from_me: bool) -> bool {
        let Some(meaning) = meaning(content) else { return false };
        if let Some(known) = self.with_id(id).find(|it| it.chat == chat && it.sender == sender) {
            known.arrivals += 1;
            return true;
        }
        self.apply(chat, sender, &meaning);
        self.by_id.entry(id.to_owned()).or_default().push(self.entries.len());
        let Meaning { kind, text, quotes, target } = meaning;
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
            at: Utc::now(),
            edited: false,
            revoked: false,
            reactions: BTreeMap::new(),
            ticks: Ticks::default(),
        };
        self.entries.push(Entry { shown, content: content.clone() });
        true
    }

    /// Changes the message that a reaction, an edit or a revocation is about.
    fn apply(&mut self, chat: &str, sender: &str, meaning: &Meaning) {
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
            // Nobody changes what others wrote.
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

    /// A receipt for an own message.
    pub(super) fn tick(&mut self, id: &str, ticks: Ticks) {
        for message in self.with_id(id).filter(|message| message.from_me) {
            message.ticks = message.ticks.max(ticks);
        }
    }

    fn with_id(&mut self, id: &str) -> impl Iterator<Item = &mut Message> {
        let wanted = self.by_id.get(id).map(Vec::as_slice).unwrap_or_default();
        // Ascending, so the entries can be walked once; there is hardly ever a second one.
        let (mut rest, mut passed) = (self.entries.as_mut_slice(), 0);
        wanted.iter().filter_map(move |index| {
            let (entry, after) = std::mem::take(&mut rest).get_mut(index - passed..)?.split_first_mut()?;
            (rest, passed) = (after, index + 1);
            Some(&mut entry.shown)
        })
    }

    /// The newest message with an id.
    pub(super) fn find(&self, id: &str) -> Option<&Entry> {
        self.by_id.get(id)?.last().and_then(|index| self.entries.get(*index))
    }

    /// The newest message of a chat.
    pub(super) fn last_in(&self, chat: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.shown.chat == chat)
    }

    pub(super) fn all(&self) -> Vec<Message> {
        self.entries.iter().map(|entry| entry.shown.clone()).collect()
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
    fn x1_ticks_never_go_back() {
        let mut inbox = Inbox::default();
        inbox.add("b", "a", "1", &text("hi"), true);
        for ticks in [Ticks::Read, Ticks::Delivered] {
            inbox.tick("1", ticks);
        }
        assert_eq!(inbox.find("1").map(|entry| entry.shown.ticks), Some(Ticks::Read));
    }
}

//! What the owner of a phone sees.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// A message on a phone. The official app knows a message by chat, sender and id, and so does this list.
#[derive(Debug, Clone, Serialize)]
pub struct Message {
    /// The other side, as a phone-number address whatever form was used on the way.
    pub chat: String,
    /// Who wrote it, likewise.
    pub sender: String,
    /// The id that the sender gave it.
    pub id: String,
    /// Its text; `null` for what is not text.
    pub text: Option<String>,
    /// Whether the owner's account wrote it, on the phone or on a linked device.
    pub from_me: bool,
    /// How often it arrived. More than once is a duplicate that the owner does not see.
    pub arrivals: u32,
    /// When it arrived first.
    pub at: DateTime<Utc>,
}

/// All messages, in the order of their first arrival.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    messages: Vec<Message>,
    index: HashMap<(String, String, String), usize>,
}

impl Inbox {
    pub(super) fn add(&mut self, chat: String, sender: String, id: String, text: Option<String>, from_me: bool) {
        let key = (chat.clone(), sender.clone(), id.clone());
        if let Some(message) = self.index.get(&key).and_then(|index| self.messages.get_mut(*index)) {
            message.arrivals += 1;
            return;
        }
        self.index.insert(key, self.messages.len());
        self.messages.push(Message { chat, sender, id, text, from_me, arrivals: 1, at: Utc::now() });
    }

    pub(super) fn all(&self) -> Vec<Message> {
        self.messages.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_a_repeated_message_is_counted_and_not_listed_twice() {
        let mut inbox = Inbox::default();
        for sender in ["b", "b", "c"] {
            inbox.add("b".into(), sender.into(), "1".into(), Some("hi".into()), false);
        }
        let seen: Vec<_> = inbox.all().into_iter().map(|message| (message.sender, message.arrivals)).collect();
        assert_eq!(seen, [("b".to_owned(), 2), ("c".to_owned(), 1)]);
    }
}

//! A generated history: contacts, chats and texts from a seed, each created on request.
//!
//! The same numbers give the same history, message ids and times included, so a test knows which messages must arrive.

use serde::{Deserialize, Serialize};
use wacore::proto_helpers::MessageBuilderExt as _;
use waproto::whatsapp::web_message_info::Status;
use waproto::whatsapp::{Message, MessageKey, WebMessageInfo};

/// The time of the newest generated message: 15 June 2025.
const NEWEST: u64 = 1_750_000_000;

const FIRST: [&str; 12] =
    ["Ada", "Bruno", "Chloe", "Dinesh", "Emre", "Fatima", "Goran", "Hana", "Ivo", "Jana", "Kofi", "Lucia"];
const LAST: [&str; 10] = ["Moreno", "Novak", "Okafor", "Petit", "Quispe", "Rossi", "Sato", "Tamm", "Ueda", "Vogel"];
const WORDS: [&str; 16] = [
    "tomorrow", "the", "train", "was", "late", "again", "shall", "we", "meet", "at", "noon", "bring", "coffee", "and",
    "your", "book",
];

/// The generated history of an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super::super) struct History {
    /// The number of one-to-one chats.
    pub(in super::super::super) chats: u32,
    /// The number of messages in each chat.
    pub(in super::super::super) messages: u32,
    /// A different seed gives a different history.
    #[serde(default)]
    pub(in super::super::super) seed: u32,
}

impl History {
    /// The most chats, and the most messages of each, that fit into message ids.
    pub(in super::super::super) const MOST: (u32, u32) = (10_000, 100_000);

    /// The other side of a chat.
    pub(super) fn jid(self, chat: u32) -> String {
        format!("1999{:04}{chat:05}@s.whatsapp.net", self.seed % 10_000)
    }

    pub(super) fn name(self, chat: u32) -> String {
        let [first, last, ..] = self.mix(chat, u32::MAX).map(usize::from);
        let name = |names: &[&'static str], at: usize| names.get(at % names.len()).copied().unwrap_or_default();
        format!("{} {}", name(&FIRST, first), name(&LAST, last))
    }

    /// The chat with somebody.
    pub(super) fn chat_with(self, jid: &str) -> Option<u32> {
        (0..self.chats).find(|chat| self.jid(*chat) == jid)
    }

    /// A message by its position; the newest has 0.
    pub(super) fn message(self, chat: u32, newest: u32) -> WebMessageInfo {
        let [mine, length, words @ ..] = self.mix(chat, newest);
        let from_me = mine % 2 == 0;
        let length = 1 + usize::from(length) % words.len();
        let words = words.iter().take(length).filter_map(|word| WORDS.get(usize::from(*word) % WORDS.len()).copied());
        WebMessageInfo {
            key: buffa::MessageField::some(MessageKey {
                remote_jid: Some(self.jid(chat)),
                from_me: Some(from_me),
                id: Some(format!("3EB0{:07X}{chat:05X}{newest:06X}", self.seed & 0x0FFF_FFFF)),
                participant: None,
            }),
            message: buffa::MessageField::some(Message::text(words.collect::<Vec<_>>().join(" "))),
            message_timestamp: Some(Self::time(chat, newest)),
            status: from_me.then_some(Status::READ),
            ..Default::default()
        }
    }

    /// The time of a message: a minute apart in one chat, a second apart between chats.
    pub(super) fn time(chat: u32, newest: u32) -> u64 {
        NEWEST - u64::from(newest) * 60 - u64::from(chat % 60)
    }

    /// The chat and position of a message.
    pub(super) fn find(self, id: &str) -> Option<(u32, u32)> {
        let places = id.strip_prefix(&format!("3EB0{:07X}", self.seed & 0x0FFF_FFFF))?;
        let (chat, newest) = places.split_at_checked(5)?;
        let (chat, newest) = (u32::from_str_radix(chat, 16).ok()?, u32::from_str_radix(newest, 16).ok()?);
        (places.len() == 11 && chat < self.chats && newest < self.messages).then_some((chat, newest))
    }

    /// Bytes that look random and are always the same for one position: the finisher of `SplitMix64`.
    fn mix(self, chat: u32, place: u32) -> [u8; 8] {
        let mut bits = u64::from(self.seed) << 20 ^ u64::from(chat) << 32 ^ u64::from(place);
        for factor in [0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB, 0x9E37_79B9_7F4A_7C15_u64] {
            bits = (bits ^ bits >> 30).wrapping_add(1).wrapping_mul(factor);
        }
        (bits ^ bits >> 31).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_a_generated_message_is_found_by_its_id() {
        let history = History { chats: 3, messages: 5, seed: 7 };
        for chat in 0..3 {
            for place in 0..5 {
                let message = history.message(chat, place);
                assert_eq!(message, history.message(chat, place), "always the same");
                assert_eq!(message.key.id.as_deref().and_then(|id| history.find(id)), Some((chat, place)));
            }
            assert_eq!(history.chat_with(&history.jid(chat)), Some(chat));
        }
        let other = History { seed: 8, ..history };
        assert_ne!(history.message(0, 0), other.message(0, 0));
        for unknown in ["", "3EB0", "3EB0000000700003000000", "3EB0000000700000000005", "3EB00000007ééééé"] {
            assert_eq!(history.find(unknown), None, "{unknown}");
        }
    }
}

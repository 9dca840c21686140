//! Which key of which chain encrypted which ciphertext. A key that encrypts two different texts is the worst fault of a
//! client: with both ciphertexts an attacker can learn about both messages.
//!
//! A one-to-one chain is identified by the sender's ratchet key, which no other session shares; a group's chain by its
//! sender, the group and the chain's id. Both carry their position in plain text.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use wacore::libsignal::protocol::{PreKeySignalMessage, SenderKeyMessage, SignalMessage};
use wacore_binary::{Node, NodeContent};

use super::super::account::DeviceId;
use super::super::node::text;

/// How many reuses are remembered; further ones would add nothing.
const REMEMBERED: usize = 10_000;

#[derive(Default)]
pub(super) struct Chains {
    used: HashMap<u64, KeyUse>,
    pub(super) reuses: VecDeque<KeyReuse>,
}

/// The first use of a key.
struct KeyUse {
    ciphertext: u64,
    seq: u64,
}

/// A key that encrypted two different texts.
#[derive(Debug)]
pub(super) struct KeyReuse {
    /// `session` or `sender_key`.
    pub(super) chain: &'static str,
    /// The ratchet key or the chain's id, in hexadecimal.
    pub(super) key: String,
    pub(super) counter: u32,
    pub(super) first: u64,
    pub(super) second: u64,
}

/// The plain header of a ciphertext, and a hash of the ciphertext without the parts that change at each encryption.
struct Header {
    chain: &'static str,
    key: Vec<u8>,
    counter: u32,
    ciphertext: u64,
}

impl Chains {
    /// Records every ciphertext of a message; returns the keys that it used first.
    pub(super) fn note(
        &mut self,
        hasher: &RandomState,
        seq: u64,
        sender: &DeviceId,
        chat: &str,
        message: &Node,
    ) -> Vec<u64> {
        let mut keys = vec![];
        let participants = message.get_optional_child("participants").into_iter();
        let copies = participants.flat_map(|participants| participants.get_children_by_tag("to"));
        for enc in std::iter::once(message).chain(copies).flat_map(|node| node.get_children_by_tag("enc")) {
            let Some(NodeContent::Bytes(sealed)) = &enc.content else { continue };
            // The recipient cannot read such a ciphertext either, and will send a retry receipt.
            let Some(header) = header(hasher, &text(enc, "type"), sealed) else { continue };
            let key = match header.chain {
                "session" => hasher.hash_one((&header.key, header.counter)),
                _ => hasher.hash_one((&header.key, header.counter, &sender.number, sender.device, chat)),
            };
            match self.used.get(&key) {
                None => {
                    self.used.insert(key, KeyUse { ciphertext: header.ciphertext, seq });
                    keys.push(key);
                }
                Some(first) if first.ciphertext != header.ciphertext => {
                    let Header { chain, key, counter, .. } = header;
                    if self.reuses.len() >= REMEMBERED {
                        self.reuses.pop_front();
                    }
                    let reuse = KeyReuse { chain, key: hex::encode(key), counter, first: first.seq, second: seq };
                    self.reuses.push_back(reuse);
                }
                Some(_) => {}
            }
        }
        keys
    }

    /// Drops the keys of a message.
    pub(super) fn forget(&mut self, keys: &[u64], seq: u64) {
        for key in keys {
            if self.used.get(key).is_some_and(|used| used.seq == seq) {
                self.used.remove(key);
            }
        }
    }
}

fn header(hasher: &RandomState, kind: &str, sealed: &[u8]) -> Option<Header> {
    let session = |message: &SignalMessage| Header {
        chain: "session",
        key: message.sender_ratchet_key().public_key_bytes().to_vec(),
        counter: message.counter(),
        ciphertext: hasher.hash_one(message.serialized()),
    };
    match kind {
        "msg" => SignalMessage::try_from(sealed).ok().as_ref().map(session),
        // The same message may be sent with and without the keys that open the session.
        "pkmsg" => PreKeySignalMessage::try_from(sealed).ok().map(|message| session(message.message())),
        "skmsg" => {
            let message = SenderKeyMessage::try_from(sealed).ok()?;
            Some(Header {
                chain: "sender_key",
                key: message.chain_id().to_be_bytes().to_vec(),
                counter: message.iteration(),
                // The signature differs at each encryption.
                ciphertext: hasher.hash_one(message.ciphertext().ok()?),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wacore::libsignal::protocol::{IdentityKey, KeyPair};
    use wacore_binary::builder::NodeBuilder;

    fn sealed(ratchet: &KeyPair, counter: u32, body: &[u8]) -> Node {
        let identity = IdentityKey::new(ratchet.public_key);
        let message =
            SignalMessage::new(3, &[7; 32], ratchet.public_key, counter, 0, body, &identity, &identity).unwrap();
        let enc = NodeBuilder::new("enc").attr("type", "msg").bytes(message.serialized().to_vec()).build();
        NodeBuilder::new("message").children([enc]).build()
    }

    #[test]
    fn x2_a_key_is_reused_when_it_encrypts_another_text() {
        let (hasher, mut chains) = (RandomState::new(), Chains::default());
        let (ratchet, other) = (super::super::super::ca::new_key(), super::super::super::ca::new_key());
        let sender = DeviceId { number: "15550001".into(), device: 1 };
        let mut note = |seq, message: Node| {
            let keys = chains.note(&hasher, seq, &sender, "chat", &message);
            (keys.len(), chains.reuses.len())
        };
        assert_eq!(note(1, sealed(&ratchet, 0, b"one")), (1, 0));
        assert_eq!(note(2, sealed(&ratchet, 0, b"one")), (0, 0), "the same again is a repetition");
        assert_eq!(note(3, sealed(&ratchet, 1, b"two")), (1, 0));
        assert_eq!(note(4, sealed(&other, 0, b"two")), (1, 0), "another chain");
        assert_eq!(note(5, sealed(&ratchet, 0, b"two")), (0, 1));
        // A group's chain is separate for each sender and each group.
        let mut in_group = |seq, chat, iteration, body: &[u8]| {
            let key = ratchet.private_key.clone();
            let message = SenderKeyMessage::new(3, 9, iteration, body.into(), &mut rand::rng(), &key).unwrap();
            let enc = NodeBuilder::new("enc").attr("type", "skmsg").bytes(message.serialized().to_vec()).build();
            chains.note(&hasher, seq, &sender, chat, &NodeBuilder::new("message").children([enc]).build());
            chains.reuses.len()
        };
        assert_eq!(
            [in_group(6, "1@g.us", 0, b"a"), in_group(7, "2@g.us", 0, b"b"), in_group(8, "1@g.us", 1, b"c")],
            [1; 3]
        );
        assert_eq!(in_group(9, "1@g.us", 0, b"a"), 1, "the same again, with another signature");
        assert_eq!(in_group(10, "1@g.us", 1, b"d"), 2);
        assert_eq!((chains.reuses[1].chain, chains.reuses[1].first, chains.reuses[1].second), ("sender_key", 8, 10));
        let reuse = &chains.reuses[0];
        assert_eq!((reuse.chain, reuse.counter, reuse.first, reuse.second), ("session", 0, 1, 5));
        assert_eq!(reuse.key, hex::encode(ratchet.public_key.public_key_bytes()));
    }
}

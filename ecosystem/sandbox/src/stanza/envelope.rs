//! The envelope of a message: the stanza around the ciphertext, as its recipient receives it.

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, JidExt as _, Node};

use super::super::account::{Account, Addressing};
use super::super::node::children;
use super::recipients::Copy;

/// Parts of a message that all recipients get; they are not encrypted for one device.
const SHARED_PARTS: &[&str] = &["device-identity", "meta", "reporting", "biz", "bot"];

/// The parts that all copies of a message share.
pub(super) struct Envelope<'a> {
    message: &'a Node,
    to: &'a Jid,
    now: u64,
    own: &'a str,
    from_pn: Jid,
    from_lid: Jid,
    name: &'a str,
    shared: Vec<&'a Node>,
}

impl<'a> Envelope<'a> {
    pub(super) fn new(sender: &'a Account, device: u16, message: &'a Node, to: &'a Jid, now: u64) -> Self {
        let shared = children(message).iter().filter(|part| SHARED_PARTS.contains(&part.tag.as_ref()));
        Self {
            message,
            to,
            now,
            own: &sender.number,
            from_pn: sender.jid(Addressing::Pn, device),
            from_lid: sender.jid(Addressing::Lid, device),
            name: sender.shown_name(),
            shared: shared.collect(),
        }
    }

    /// The stanza for one copy. It names the sender in the copy's form of address, and in the other form beside it, so
    /// that the recipient learns that both are the same.
    pub(super) fn stanza(&self, copy: &Copy<'_>) -> Node {
        let Copy { device, addressing, content } = copy;
        let (sender, other) = match addressing {
            Addressing::Lid => (&self.from_lid, &self.from_pn),
            Addressing::Pn => (&self.from_pn, &self.from_lid),
        };
        let mut stanza = NodeBuilder::new("message");
        if self.to.is_group() || self.to.is_status_broadcast() {
            let alternative = match addressing {
                Addressing::Lid => "participant_pn",
                Addressing::Pn => "participant_lid",
            };
            stanza = stanza.attr("from", self.to).attr("participant", sender).attr(alternative, other.to_non_ad());
            if self.to.is_group() {
                stanza = stanza.attr("addressing_mode", addressing.name());
            }
        } else {
            let alternative = match addressing {
                Addressing::Lid => "sender_pn",
                Addressing::Pn => "sender_lid",
            };
            stanza = stanza.attr("from", sender).attr(alternative, other.to_non_ad());
            if device.number == self.own {
                stanza = stanza.attr("recipient", self.to);
            }
        }
        let same = |key| self.message.attrs.get(key).cloned().unwrap_or_default();
        stanza = stanza.attr("id", same("id")).attr("t", self.now).attr("type", same("type")).attr("notify", self.name);
        for key in ["edit", "category", "push_priority"] {
            if let Some(value) = self.message.attrs.get(key) {
                stanza = stanza.attr(key, value.clone());
            }
        }
        stanza.children(content.iter().chain(&self.shared).copied().cloned()).build()
    }
}

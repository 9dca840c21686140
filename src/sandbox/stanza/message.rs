//! Messages: each encrypted copy goes to the device it is encrypted for, and the sender gets the server's ack.

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};

use super::super::account::{Account, Addressing};
use super::super::node::{children, jid, text, unix_now};
use super::{Context, id};

/// Parts of a message that its recipients need and that are not encrypted for one of them.
const SHARED_PARTS: &[&str] = &["device-identity", "meta", "reporting", "biz", "bot"];

/// Takes a message from a device.
pub(super) fn accept(context: &mut Context<'_>, message: &Node) {
    let Some(own) = context.device else { return };
    let Some(to) = jid(message, "to") else { return };
    let now = unix_now();
    let mut state = context.server.state();
    let Some(account) = state.accounts.get(&own.number) else { return };
    let envelope = Envelope::new(account, own.device, message, &to, now);
    let ack = NodeBuilder::new("ack")
        .attr("class", "message")
        .attr("id", id(message))
        .attr("from", to.clone())
        .attr("t", now);
    let refusal = match state.number_of(&to) {
        // Groups, status and newsletters.
        None => Some(("405", true)),
        Some(number) if !state.accounts.contains_key(&number) => Some(("404", false)),
        Some(_) => None,
    };
    if let Some((code, unknown)) = refusal {
        let refusal = code.parse().unwrap_or_default();
        context.server.ledger.refused(own, &state.chat_of(&to), &id(message), refusal);
        drop(state);
        if unknown {
            context.server.stats.unknown(format!("message to {}", to.server.as_str()));
        }
        return context.link.send(ack.attr("error", code).build());
    }
    let mut copies = copies(message, &to);
    // Who is blocked is not told, and neither is whoever blocked them.
    copies.retain(|(jid, _)| state.account_of(jid).is_none_or(|account| !account.settings.blocks(&own.number)));
    let addressed = copies.iter().filter_map(|(jid, _)| state.device_of(jid));
    context.server.ledger.accepted(own, &state.chat_of(&to), message, addressed);
    // The ack first, as the real server does: it has the message, whoever is to get it.
    context.link.send(ack.build());
    for (device_jid, content) in copies {
        let Some(device) = state.device_of(&device_jid) else { continue };
        let copy = envelope.around(&device_jid, device.number == own.number, content);
        state.deliver(&device, copy, &context.server.stats);
    }
}

/// The encrypted copies in a message, each with the device it is for.
fn copies(message: &Node, to: &Jid) -> Vec<(Jid, Vec<Node>)> {
    let mut copies = vec![];
    if let Some(participants) = message.get_optional_child("participants") {
        for participant in participants.get_children_by_tag("to") {
            if let Some(jid) = jid(participant, "jid") {
                copies.push((jid, children(participant).to_vec()));
            }
        }
    }
    let direct: Vec<Node> = message.get_children_by_tag("enc").cloned().collect();
    if !direct.is_empty() {
        copies.push((to.clone(), direct));
    }
    copies
}

/// What surrounds the ciphertext when the server hands it on.
struct Envelope<'a> {
    message: &'a Node,
    to: &'a Jid,
    now: u64,
    from_pn: Jid,
    from_lid: Jid,
    name: String,
    shared: Vec<Node>,
}

impl<'a> Envelope<'a> {
    fn new(sender: &Account, device: u16, message: &'a Node, to: &'a Jid, now: u64) -> Self {
        Self {
            message,
            to,
            now,
            from_pn: sender.jid(Addressing::Pn, device),
            from_lid: sender.jid(Addressing::Lid, device),
            name: sender.push_name.clone().unwrap_or_else(|| sender.number.clone()),
            shared: children(message)
                .iter()
                .filter(|part| SHARED_PARTS.contains(&part.tag.as_ref()))
                .cloned()
                .collect(),
        }
    }

    /// The stanza for one copy. The sender is named in the form the copy is addressed in, and the other form beside it,
    /// so that the recipient learns that the two are one.
    fn around(&self, to: &Jid, own: bool, mut content: Vec<Node>) -> Node {
        content.extend(self.shared.iter().cloned());
        let (from, alternative, other) = match Addressing::of(to) {
            Addressing::Lid => (&self.from_lid, "sender_pn", &self.from_pn),
            Addressing::Pn => (&self.from_pn, "sender_lid", &self.from_lid),
        };
        let mut stanza = NodeBuilder::new("message")
            .attr("from", from)
            .attr(alternative, other.to_non_ad())
            .attr("id", id(self.message))
            .attr("t", self.now)
            .attr("type", text(self.message, "type"))
            .attr("notify", self.name.as_str());
        for key in ["edit", "category", "push_priority"] {
            if let Some(value) = self.message.attrs.get(key) {
                stanza = stanza.attr(key, value.clone());
            }
        }
        if own {
            stanza = stanza.attr("recipient", self.to);
        }
        stanza.children(content).build()
    }
}

//! Receipts: they acknowledge a message and go back to its sender.

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, JidExt as _, Node};

use super::super::account::{Addressing, DeviceId};
use super::super::node::{jid, listed_ids, text, unix_now};
use super::super::server::Server;
use super::super::state::State;
use super::{Context, id};

/// Requests a new encryption from the sending device only; the message stays unacknowledged.
const RETRIES: &[&str] = &["retry", "enc_rekey_retry"];
/// Between a device and the server only.
const PRIVATE: &[&str] = &["sender", "peer_msg", "hist_sync"];
/// The owner has seen or heard a message; the account's other devices show that, too.
const SEEN: &[&str] = &["read", "played", "read-self", "played-self"];
/// Of those, the kinds that the sender does not get, because the owner does not want it.
const SILENT: &[&str] = &["read-self", "played-self"];

/// Handles a receipt from a device.
pub(super) fn accept(context: &mut Context<'_>, receipt: Node) {
    let Some(own) = context.device else { return };
    let kind = text(&receipt, "type");
    if !RETRIES.contains(&kind.as_str()) {
        context.server.state().settle(own, "message", &listed_ids(&receipt), None);
    }
    let to = receipt.attrs.get("to").cloned().unwrap_or_default();
    let mut ack = NodeBuilder::new("ack").attr("class", "receipt").attr("id", id(&receipt)).attr("from", to);
    if !kind.is_empty() {
        ack = ack.attr("type", kind);
    }
    context.link.send(ack.build());
    if text(&receipt, "type") == "hist_sync"
        && let Some(account) = context.server.state().accounts.get(&own.number)
    {
        account.phone.history_received(own.device, &listed_ids(&receipt));
    }
    route(context.server, own, receipt);
}

/// Delivers a receipt from a device or a phone to its addressee. In a group and for a status, the addressee is the
/// message's author, who also learns which participant sent the receipt.
pub(in super::super) fn route(server: &Server, from: &DeviceId, receipt: Node) {
    let kind = text(&receipt, "type");
    let Some(to) = jid(&receipt, "to") else { return };
    if PRIVATE.contains(&kind.as_str()) {
        return;
    }
    let mut state = server.state();
    if RETRIES.contains(&kind.as_str()) {
        let author = jid(&receipt, "participant").and_then(|author| state.number_of(&author));
        if let Some(author) = author.or_else(|| state.number_of(&to)) {
            server.ledger.retry_requested(from, &author, &id(&receipt));
        }
    }
    if SEEN.contains(&kind.as_str()) {
        notify_own_devices(server, &mut state, from, &to, &receipt);
    }
    if SILENT.contains(&kind.as_str()) {
        return;
    }
    let Some(sender) = state.accounts.get(&from.number) else { return };
    let mut stanza = NodeBuilder::new("receipt").attr("id", id(&receipt)).attr("t", unix_now());
    let many = to.is_group() || to.is_status_broadcast();
    let author = if many {
        let addressing = match state.group(&to) {
            // A member who has left cannot send receipts to the group any more.
            Ok(group) if group.role(&from.number).is_err() => return,
            Ok(group) => group.addressing,
            Err(_) if to.is_group() => return,
            Err(_) => Addressing::Lid,
        };
        let (alternative, other) = match addressing {
            Addressing::Lid => ("participant_pn", Addressing::Pn),
            Addressing::Pn => ("participant_lid", Addressing::Lid),
        };
        stanza = stanza
            .attr("from", to)
            .attr("participant", sender.jid(addressing, from.device))
            .attr(alternative, sender.jid(other, 0));
        let Some(author) = jid(&receipt, "participant") else { return };
        author
    } else {
        stanza = stanza.attr("from", sender.jid(Addressing::of(&to), from.device));
        to
    };
    if !kind.is_empty() {
        stanza = stanza.attr("type", kind.as_str());
    }
    let stanza = stanza.apply_content(receipt.content).build();
    let Some(number) = state.number_of(&author) else { return };
    // In a group, an author gets no receipts of their own devices.
    if many && number == from.number && !RETRIES.contains(&kind.as_str()) {
        return;
    }
    let devices: Vec<DeviceId> = if kind == "server-error" {
        // The file is gone, and only the phone can upload it again, whichever device is named.
        vec![DeviceId { number, device: 0 }]
    } else if RETRIES.contains(&kind.as_str()) {
        vec![DeviceId { number, device: author.device }]
    } else {
        // The sender's phone and all other devices of the sender show the ticks.
        state.devices(&number).collect()
    };
    for to in devices {
        state.deliver(&to, stanza.clone(), &server.stats);
    }
}

/// Notifies the reader's other devices and phone that messages of `chat` were read.
fn notify_own_devices(server: &Server, state: &mut State, from: &DeviceId, chat: &Jid, receipt: &Node) {
    let Some(account) = state.accounts.get(&from.number) else { return };
    let mut stanza = NodeBuilder::new("receipt")
        .attr("id", id(receipt))
        .attr("from", account.jid(Addressing::of(chat), from.device))
        .attr("recipient", chat.to_non_ad())
        .attr("type", text(receipt, "type"))
        .attr("t", unix_now());
    if let Some(participant) = receipt.attrs.get("participant") {
        stanza = stanza.attr("participant", participant.clone());
    }
    let stanza = stanza.apply_content(receipt.content.clone()).build();
    let siblings = std::iter::once(0).chain(account.devices.keys().copied()).filter(|device| *device != from.device);
    for device in siblings.collect::<Vec<_>>() {
        state.deliver(&DeviceId { number: from.number.clone(), device }, stanza.clone(), &server.stats);
    }
}

//! The session after a login: becoming active, waiting stanzas, acknowledgements, and small queries that every client
//! sends.

use std::collections::VecDeque;

use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;

use super::super::account::DeviceId;
use super::super::node::{jid, server_jid, text};
use super::super::pairing;
use super::super::parcel::Parcel;
use super::iq::{Answer, reply};
use super::{Context, id};

/// The device becomes active: it gets the waiting stanzas in order, the mark of their end, and then live ones.
pub(super) fn activate(context: &mut Context<'_>, query: &Node) -> Answer {
    let Some(id) = context.device else { return Answer::Refused(401, "not-authorized") };
    reply(context, query, Answer::Result(vec![]));
    let mut state = context.server.state();
    let phone = state.accounts.get(&id.number).map(|account| account.phone.clone());
    let Some(device) = state.device(id) else { return Answer::Sent };
    // Only for the link that asked: a newer connection may have replaced it already.
    if device.link.as_ref().is_none_or(|link| link.id() != context.link.id()) {
        return Answer::Sent;
    }
    // A second request must not send stanzas again that are on their way.
    if std::mem::replace(&mut device.active, true) {
        return Answer::Sent;
    }
    if !device.queue.is_empty() {
        context.link.send(preview(&device.queue));
    }
    for (index, waiting) in device.queue.iter().enumerate() {
        context.link.send_parcel(waiting.marked(index));
    }
    let end = NodeBuilder::new("offline").attr("count", device.queue.len()).build();
    context.link.send(NodeBuilder::new("ib").attr("from", server_jid()).children([end]).build());
    if !std::mem::replace(&mut device.introduced, true)
        && let Some(phone) = phone
    {
        phone.introduce(id.device);
    }
    Answer::Sent
}

/// The number of waiting stanzas by kind.
fn preview(queue: &VecDeque<Parcel>) -> Node {
    let of = |tag: &str| queue.iter().filter(|parcel| parcel.tag() == tag).count();
    let preview = NodeBuilder::new("offline_preview")
        .attr("count", queue.len())
        .attr("message", of("message"))
        .attr("receipt", of("receipt"))
        .attr("notification", of("notification"))
        .attr("call", of("call"))
        .attr("appdata", 0_u32);
    NodeBuilder::new("ib").attr("from", server_jid()).children([preview.build()]).build()
}

/// The device becomes passive.
pub(super) fn deactivate(context: &mut Context<'_>, _query: &Node) -> Answer {
    if let Some(own) = context.device
        && let Some(device) = context.server.state().device(own)
    {
        device.active = false;
    }
    Answer::Result(vec![])
}

/// The device logs itself out.
pub(super) fn remove_device(context: &mut Context<'_>, query: &Node) -> Answer {
    let Some(own) = context.device else { return Answer::Refused(401, "not-authorized") };
    let named = query.get_optional_child("remove-companion-device").and_then(|remove| jid(remove, "jid"));
    let device = named.map_or(own.device, |jid| jid.device);
    reply(context, query, Answer::Result(vec![]));
    pairing::unlink(context.server, &DeviceId { number: own.number.clone(), device });
    Answer::Sent
}

/// The device acknowledged a stanza.
pub(super) fn acknowledged(context: &mut Context<'_>, ack: &Node) {
    let class = text(ack, "class");
    if !matches!(class.as_str(), "message" | "receipt" | "notification") {
        return;
    }
    let Some(own) = context.device else { return };
    // For receipts the type is needed to tell them apart; for messages the type does not identify one.
    let kind = text(ack, "type");
    let kind = (class != "message").then_some(kind.as_str());
    context.server.state().settle(own, &class, &[id(ack)], kind);
}

/// An empty result, for a ping or a notice that needs no action.
pub(super) fn pong(_context: &mut Context<'_>, _query: &Node) -> Answer {
    Answer::Result(vec![])
}

/// Server-side properties: none.
pub(super) fn properties(_context: &mut Context<'_>, _query: &Node) -> Answer {
    let properties = NodeBuilder::new("props")
        .attr("protocol", "1")
        .attr("ab_key", "sandbox")
        .attr("hash", "sandbox")
        .attr("refresh", 86_400_u32);
    Answer::Result(vec![properties.build()])
}

/// Business profiles: no account has one.
pub(super) fn business_profile(_context: &mut Context<'_>, _query: &Node) -> Answer {
    Answer::Result(vec![NodeBuilder::new("business_profile").build()])
}

//! Key bundles: uploaded by their owner, handed out one one-time key at a time.

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};

use super::super::account::Bundle;
use super::super::faults::{Faults, hand_out};
use super::super::node::{child_bytes, children, jid, leaf};
use super::super::state::State;
use super::Context;
use super::iq::Answer;

/// When a phone has this few one-time keys left it makes new ones, as the real one does when the server warns it.
const LOW: usize = 5;

/// The device uploads its keys. One-time keys add to those that are left.
pub(super) fn upload(context: &mut Context<'_>, query: &Node) -> Answer {
    let Some(signed) = query.get_optional_child("skey") else { return Answer::Refused(400, "bad-request") };
    let fresh = query.get_optional_child("list").map(children).unwrap_or_default();
    with_bundle(context, |bundle| {
        let registration = child_bytes(query, "registration");
        let identity = child_bytes(query, "identity");
        // A new identity makes the old keys useless.
        if identity != bundle.identity {
            bundle.one_time.clear();
        }
        (bundle.registration, bundle.identity, bundle.signed) = (registration, identity, signed.clone());
        let known: Vec<_> = bundle.one_time.iter().map(|key| child_bytes(key, "id")).collect();
        bundle.one_time.extend(fresh.iter().filter(|key| !known.contains(&child_bytes(key, "id"))).cloned());
        vec![]
    })
}

/// The device replaces its signed key.
pub(super) fn rotate(context: &mut Context<'_>, query: &Node) -> Answer {
    let signed = query.get_optional_child("rotate").and_then(|rotate| rotate.get_optional_child("skey"));
    let Some(signed) = signed else { return Answer::Refused(400, "bad-request") };
    with_bundle(context, |bundle| {
        bundle.signed = signed.clone();
        vec![]
    })
}

/// How many one-time keys are left.
pub(super) fn count(context: &mut Context<'_>, _query: &Node) -> Answer {
    with_bundle(context, |bundle| vec![NodeBuilder::new("count").attr("value", bundle.one_time.len()).build()])
}

/// A checksum of what the server holds. Clients take this refusal for "not now" and go on; a missing bundle (404) would
/// make them upload everything again.
pub(super) fn digest(_context: &mut Context<'_>, _query: &Node) -> Answer {
    Answer::Refused(503, "service-unavailable")
}

/// Key bundles of others.
pub(super) fn fetch(context: &mut Context<'_>, query: &Node) -> Answer {
    let users = children(query).first().map(children).unwrap_or_default();
    let mut state = context.server.state();
    let found = users
        .iter()
        .filter_map(|user| jid(user, "jid"))
        .map(|jid| user_node(&context.server.faults, &mut state, &jid))
        .collect::<Vec<_>>();
    drop(state);
    Answer::Result(vec![NodeBuilder::new("list").children(found).build()])
}

fn user_node(faults: &Faults, state: &mut State, jid: &Jid) -> Node {
    let user = NodeBuilder::new("user").attr("jid", jid);
    if let Some(content) = hand_out(faults, state, jid) {
        return user.children(content).build();
    }
    user.children([NodeBuilder::new("error").attr("code", "406").attr("text", "not-acceptable").build()]).build()
}

/// The keys to open a session with a device or a phone. Uses up a one-time key.
pub(in super::super) fn take_bundle(state: &mut State, jid: &Jid) -> Option<Vec<Node>> {
    let number = state.number_of(jid)?;
    let account = state.accounts.get_mut(&number)?;
    if jid.device == 0 {
        let content = account.phone_bundle.take();
        if account.phone_bundle.one_time.len() < LOW {
            account.phone.replenish();
        }
        return Some(content);
    }
    let device = account.devices.get_mut(&jid.device)?;
    let mut content = device.bundle.take();
    content.push(leaf("device-identity", device.identity.clone()));
    Some(content)
}

fn with_bundle(context: &mut Context<'_>, act: impl FnOnce(&mut Bundle) -> Vec<Node>) -> Answer {
    let Some(id) = context.device else { return Answer::Refused(401, "not-authorized") };
    match context.server.state().device(id) {
        Some(device) => Answer::Result(act(&mut device.bundle)),
        None => Answer::Refused(401, "not-authorized"),
    }
}

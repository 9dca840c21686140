//! Key bundles: uploaded by their owners, and fetched with one one-time key each.

use wacore::prekeys::compute_key_bundle_digest;
use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};

use super::super::account::{Bundle, DeviceId};
use super::super::faults::hand_out;
use super::super::node::{child_bytes, children, jid, leaf, server_jid, unix_now};
use super::super::server::Server;
use super::super::state::State;
use super::Context;
use super::iq::Answer;

/// With fewer one-time keys left than this, the server warns their owner, who uploads new ones.
const LOW: usize = 5;

/// Stores the device's keys. One-time keys are added to the remaining ones.
pub(super) fn upload(context: &mut Context<'_>, query: &Node) -> Answer {
    let Some(signed) = query.get_optional_child("skey") else { return Answer::Refused(400, "bad-request") };
    let fresh = query.get_optional_child("list").map(children).unwrap_or_default();
    with_bundle(context, |bundle| {
        let registration = child_bytes(query, "registration");
        let identity = child_bytes(query, "identity");
        // A new identity invalidates the old keys.
        if identity != bundle.identity {
            bundle.one_time.clear();
        }
        (bundle.registration, bundle.identity, bundle.signed) = (registration, identity, signed.clone());
        let known: Vec<_> = bundle.one_time.iter().map(|key| child_bytes(key, "id")).collect();
        bundle.warned = false;
        bundle.one_time.extend(fresh.iter().filter(|key| !known.contains(&child_bytes(key, "id"))).cloned());
        vec![]
    })
}

/// Replaces the device's signed key.
pub(super) fn rotate(context: &mut Context<'_>, query: &Node) -> Answer {
    let signed = query.get_optional_child("rotate").and_then(|rotate| rotate.get_optional_child("skey"));
    let Some(signed) = signed else { return Answer::Refused(400, "bad-request") };
    with_bundle(context, |bundle| {
        bundle.signed = signed.clone();
        vec![]
    })
}

/// The number of one-time keys left.
pub(super) fn count(context: &mut Context<'_>, _query: &Node) -> Answer {
    with_bundle(context, |bundle| vec![NodeBuilder::new("count").attr("value", bundle.one_time.len()).build()])
}

/// The stored keys with a checksum, for a client that wants to compare. Without one-time keys the answer is 404, which
/// makes the client upload everything again.
pub(super) fn digest(context: &mut Context<'_>, _query: &Node) -> Answer {
    let mut state = context.server.state();
    let bundle = context.device.and_then(|own| state.device(own)).map(|device| &device.bundle);
    let Some(bundle) = bundle.filter(|bundle| !bundle.one_time.is_empty()) else {
        return Answer::Refused(404, "item-not-found");
    };
    let values: Vec<Vec<u8>> = bundle.one_time.iter().map(|key| child_bytes(key, "value")).collect();
    let hash = compute_key_bundle_digest(
        &bundle.identity,
        &child_bytes(&bundle.signed, "value"),
        &child_bytes(&bundle.signed, "signature"),
        &values.iter().map(Vec::as_slice).collect::<Vec<_>>(),
    );
    let ids = bundle.one_time.iter().map(|key| leaf("id", child_bytes(key, "id")));
    let mut parts = bundle.lasting_keys();
    parts.extend([NodeBuilder::new("list").children(ids).build(), leaf("hash", hash)]);
    Answer::Result(vec![NodeBuilder::new("digest").children(parts).build()])
}

/// Returns key bundles of other devices.
pub(super) fn fetch(context: &mut Context<'_>, query: &Node) -> Answer {
    let users = children(query).first().map(children).unwrap_or_default();
    let mut state = context.server.state();
    let asked = users.iter().filter_map(|user| jid(user, "jid"));
    let found = asked.map(|jid| user_node(context.server, &mut state, &jid)).collect::<Vec<_>>();
    drop(state);
    Answer::Result(vec![NodeBuilder::new("list").children(found).build()])
}

fn user_node(server: &Server, state: &mut State, jid: &Jid) -> Node {
    let user = NodeBuilder::new("user").attr("jid", jid);
    if let Some(content) = hand_out(server, state, jid) {
        return user.children(content).build();
    }
    user.children([NodeBuilder::new("error").attr("code", "406").attr("text", "not-acceptable").build()]).build()
}

/// The keys to start a session with a device or a phone. Uses up a one-time key.
pub(in super::super) fn take_bundle(server: &Server, state: &mut State, jid: &Jid) -> Option<Vec<Node>> {
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
    let left = device.bundle.one_time.len();
    if left < LOW && !std::mem::replace(&mut device.bundle.warned, true) {
        let warning = NodeBuilder::new("notification")
            .attr("from", server_jid())
            .attr("type", "encrypt")
            .attr("id", server.stanza_id())
            .attr("t", unix_now())
            .children([NodeBuilder::new("count").attr("value", left).build()])
            .build();
        state.deliver(&DeviceId { number, device: jid.device }, warning, &server.stats);
    }
    Some(content)
}

fn with_bundle(context: &mut Context<'_>, act: impl FnOnce(&mut Bundle) -> Vec<Node>) -> Answer {
    let Some(id) = context.device else { return Answer::Refused(401, "not-authorized") };
    match context.server.state().device(id) {
        Some(device) => Answer::Result(act(&mut device.bundle)),
        None => Answer::Refused(401, "not-authorized"),
    }
}

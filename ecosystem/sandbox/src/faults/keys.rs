//! Faults in the key bundles that the server hands out.

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};

use super::super::ca::{new_key, public_bytes};
use super::super::node::leaf;
use super::super::server::Server;
use super::super::stanza::take_bundle;
use super::super::state::State;
use super::fault::{Fault, Moment};
use super::rule::Occasion;

/// The highest id that fits three bytes. Owners count from 1, so no key has this id.
const UNKNOWN_ID: [u8; 3] = [0xFF; 3];

/// The bundle of a device or a phone, unchanged or as a rule demands.
pub(in super::super) fn hand_out(server: &Server, state: &mut State, jid: &Jid) -> Option<Vec<Node>> {
    let owner = state.device_of(jid)?;
    let mut bundle = take_bundle(server, state, jid)?;
    let strike = server.faults.strike(Occasion::Of(Moment::Bundle), Some(&owner));
    match strike.map(|strike| strike.fault) {
        Some(Fault::NoOneTimeKey {}) => bundle.retain(|part| part.tag != "key"),
        Some(Fault::UnknownPreKey {}) => {
            let value = leaf("value", public_bytes(&new_key()));
            let key = NodeBuilder::new("key").children([leaf("id", UNKNOWN_ID), value]).build();
            bundle.retain(|part| part.tag != "key");
            bundle.push(key);
        }
        _ => {}
    }
    Some(bundle)
}

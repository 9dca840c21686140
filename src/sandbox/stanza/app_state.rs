//! App state on the wire: what devices ask for and upload, collection by collection.

use buffa::Message as _;
use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;
use waproto::whatsapp::SyncdPatch;

use super::super::account::DeviceId;
use super::super::app_state::{Refusal, Update, upload};
use super::super::faults::corrupt_app_state;
use super::super::node::{bytes, children, leaf, text};
use super::super::server::Server;
use super::Context;
use super::iq::Answer;

/// Answers for each collection that is named. A client is not connected before it has heard this.
pub(super) fn sync(context: &mut Context<'_>, query: &Node) -> Answer {
    let Some(own) = context.device else { return Answer::Refused(401, "not-authorized") };
    let asked = query.get_optional_child("sync").map(children).unwrap_or_default();
    let collections: Vec<Node> = asked.iter().map(|asked| collection(context.server, own, asked)).collect();
    Answer::Result(vec![NodeBuilder::new("sync").children(collections).build()])
}

fn collection(server: &Server, own: &DeviceId, asked: &Node) -> Node {
    let name = text(asked, "name");
    // A device that has nothing leaves the version out.
    let version = text(asked, "version").parse().unwrap_or(0);
    let update = |want_snapshot| {
        let state = server.state();
        state.accounts.get(&own.number).and_then(|account| account.app_state.update(&name, version, want_snapshot))
    };
    let Some(patch) = asked.get_optional_child("patch") else {
        return match update(false) {
            Some(update) => hand_out(server, own, update, None),
            None => refused(server, &name, "404", "item-not-found"),
        };
    };
    let patch = bytes(patch).and_then(|patch| SyncdPatch::decode_from_slice(&patch).ok());
    match patch.ok_or(Refusal::Malformed).and_then(|patch| upload(server, own, &name, version, patch)) {
        Ok(version) => NodeBuilder::new("collection").attr("name", name).attr("version", version).build(),
        Err(Refusal::Conflict) => match update(false) {
            Some(update) => hand_out(server, own, update, Some(("409", "conflict"))),
            None => refused(server, &name, "404", "item-not-found"),
        },
        Err(Refusal::Malformed) => refused(server, &name, "400", "bad-request"),
        Err(Refusal::Unknown) => refused(server, &name, "404", "item-not-found"),
    }
}

/// What a device gets of a collection. Every patch and every snapshot goes to a device through here.
fn hand_out(server: &Server, device: &DeviceId, update: Update, error: Option<(&'static str, &'static str)>) -> Node {
    let Update { name, version, snapshot: _, mut patches, more } = update;
    corrupt_app_state(server, device, &mut patches);
    let mut collection = NodeBuilder::new("collection").attr("name", name).attr("version", version);
    if more {
        collection = collection.attr("has_more_patches", "true");
    }
    let mut content = vec![];
    if let Some((code, text)) = error {
        collection = collection.attr("type", "error");
        content.push(NodeBuilder::new("error").attr("code", code).attr("text", text).build());
    }
    if !patches.is_empty() {
        let patches = patches.iter().map(|patch| leaf("patch", patch.encode_to_vec()));
        content.push(NodeBuilder::new("patches").children(patches).build());
    }
    collection.children(content).build()
}

/// One collection's error does not keep the others from their answer.
fn refused(server: &Server, name: &str, code: &'static str, reason: &'static str) -> Node {
    server.stats.unknown(format!("app state {name}: {reason}"));
    let error = NodeBuilder::new("error").attr("code", code).attr("text", reason).build();
    NodeBuilder::new("collection").attr("name", name).attr("type", "error").children([error]).build()
}

//! What a client may say, and who answers.
//!
//! A stanza's tag decides here; a query (`iq`) is decided by the table in `iq`. The next kind of stanza gets its file
//! beside these and its line in one of the two places.

mod app_state;
mod call;
mod envelope;
mod group;
mod iq;
mod media;
mod message;
mod prekeys;
mod presence;
mod profile;
mod receipt;
mod recipients;
mod session;
mod settings;
mod usync;

use std::sync::Arc;

use wacore_binary::Node;

use super::account::DeviceId;
use super::link::Link;
use super::node::{signature, text};
use super::server::Server;

pub(super) use iq::{Answer, reply};
pub(super) use message::{carry as carry_message, refuse as refuse_message};
pub(super) use prekeys::take_bundle;
pub(super) use receipt::route as route_receipt;

/// Who says something, and the way back.
pub(super) struct Context<'a> {
    pub(super) server: &'a Arc<Server>,
    pub(super) link: &'a Link,
    /// `None` until the device is linked and logged in.
    pub(super) device: Option<&'a DeviceId>,
}

/// Answers one stanza. It cannot fail: what is malformed or unknown is refused or counted, as suits its kind.
pub(super) fn dispatch(context: &mut Context<'_>, node: Node) {
    let signature = signature(&node);
    tracing::trace!(target: super::LOG, device = ?context.device, stanza = ?node, "received");
    context.server.stats.stanza(&signature);
    match node.tag.as_ref() {
        "iq" => iq::answer(context, &node, signature),
        "message" => message::accept(context, &node),
        "receipt" => receipt::accept(context, node),
        "ack" => session::acknowledged(context, &node),
        "presence" => presence::presence(context, &node, signature),
        "call" => call::pass_on(context, &node),
        "chatstate" => presence::chatstate(context, &node, signature),
        // The client's notes about its own state; one that asks for a batch of what waits has been sent everything.
        "ib" => {}
        // A client that closes politely.
        "xmlstreamend" | "stream:end" => context.link.close(),
        _ => context.server.stats.unknown(signature),
    }
}

/// The stanza's id, which its answer must carry.
fn id(node: &Node) -> String {
    text(node, "id")
}

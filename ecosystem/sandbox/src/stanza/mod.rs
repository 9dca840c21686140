//! The stanzas of clients, and their handlers.
//!
//! A stanza's tag is matched here, a query (`iq`) by the table in `iq`. A new kind of stanza gets a file beside these
//! and a line in one of the two places.

mod app_state;
mod call;
mod envelope;
mod group;
mod iq;
mod media;
mod message;
mod mex;
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
pub(super) use message::{deliver_encrypted, refuse as refuse_message};
pub(super) use mex::notify_limit;
pub(super) use prekeys::take_bundle;
pub(super) use receipt::route as route_receipt;

/// The sender of a stanza, and the link for the answers.
pub(super) struct Context<'a> {
    pub(super) server: &'a Arc<Server>,
    pub(super) link: &'a Link,
    /// `None` until the device is linked and logged in.
    pub(super) device: Option<&'a DeviceId>,
}

/// Handles one stanza. It cannot fail: a malformed or unknown stanza is refused or counted, depending on its kind.
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
        // Notes about the client's own state; a request for a batch of waiting stanzas needs nothing, as all have been
        // sent.
        "ib" => {}
        // The client closes the connection.
        "xmlstreamend" | "stream:end" => context.link.close(),
        _ => context.server.stats.unknown(signature),
    }
}

/// The stanza's id, which the answer must carry.
fn id(node: &Node) -> String {
    text(node, "id")
}

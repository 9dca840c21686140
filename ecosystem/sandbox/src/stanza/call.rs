//! Calls: signalling goes to the other side's connected devices. There is no relay, so no call ever has sound; it can
//! be offered, rejected and ended. Signalling does not wait for offline devices.

use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;

use super::super::account::Addressing;
use super::super::node::{first_tag, jid, text, unix_now};
use super::{Context, id};

/// Passes on a call stanza, and acknowledges it.
pub(super) fn pass_on(context: &mut Context<'_>, call: &Node) {
    let (Some(own), Some(to)) = (context.device, jid(call, "to")) else { return };
    let ack = NodeBuilder::new("ack").attr("class", "call").attr("id", id(call)).attr("from", to.clone());
    context.link.send(ack.attr("type", first_tag(call)).build());
    let state = context.server.state();
    let (Some(caller), Some(other)) = (state.accounts.get(&own.number), state.account_of(&to)) else { return };
    if other.settings.blocks(&own.number) {
        return;
    }
    let mut stanza = NodeBuilder::new("call")
        .attr("from", caller.jid(Addressing::of(&to), own.device))
        .attr("id", id(call))
        .attr("t", unix_now())
        .attr("notify", caller.push_name.clone().unwrap_or_default());
    for key in ["platform", "version"] {
        if call.attrs.get(key).is_some() {
            stanza = stanza.attr(key, text(call, key));
        }
    }
    let stanza = stanza.apply_content(call.content.clone()).build();
    // To the named device, as in the answer to an offer; otherwise to all that are connected.
    let named = |device: u16| to.device == 0 || to.device == device;
    for device in other.devices.iter().filter(|(id, device)| named(**id) && device.active).map(|(_, device)| device) {
        if let Some(link) = &device.link {
            link.send(stanza.clone());
        }
    }
}

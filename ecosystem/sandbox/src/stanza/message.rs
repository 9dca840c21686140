//! Messages: each encrypted copy goes to its device, and the sender gets the server's ack.

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, JidExt as _, Node};

use super::super::account::DeviceId;
use super::super::group::GroupRefusal;
use super::super::node::{jid, unix_now};
use super::super::server::Server;
use super::super::state::State;
use super::envelope::Envelope;
use super::recipients::{self, Copy, Undeliverable};
use super::{Context, id};

/// Accepts a message from a device.
pub(super) fn accept(context: &mut Context<'_>, message: &Node) {
    let Some(own) = context.device else { return };
    let Some(to) = jid(message, "to") else { return };
    let now = unix_now();
    let mut ack = ack(message, &to);
    let mut state = context.server.state();
    match recipients::of(&state, own, message, &to) {
        Ok(recipients) => {
            if let Some(phash) = recipients.phash {
                context.server.stats.count(|counters| counters.lists_corrected += 1);
                ack = ack.attr("phash", phash);
            }
            let addressed = recipients.copies.iter().map(|copy| &copy.device);
            context.server.ledger.accepted(own, &state.chat_of(&to), message, addressed);
            // The ack goes first, as on the real server: it says that the server has the message, whoever the
            // recipients are.
            context.link.send(ack.build());
            deliver_copies(context.server, &mut state, own, message, &to, now, recipients.copies);
        }
        Err(why) => {
            drop(state);
            if why == Undeliverable::Unknown {
                context.server.stats.unknown(format!("message to {}", to.server.as_str()));
            }
            refuse(context, message, why.code());
        }
    }
}

/// Refuses a message from a device with an error in its ack. The message is not delivered.
pub(in super::super) fn refuse(context: &Context<'_>, message: &Node, code: u16) {
    let (Some(own), Some(to)) = (context.device, jid(message, "to")) else { return };
    let chat = context.server.state().chat_of(&to);
    context.server.ledger.refused(own, &chat, &id(message), code);
    context.link.send(ack(message, &to).attr("error", code).build());
}

/// The server's ack for a message.
fn ack(message: &Node, to: &Jid) -> NodeBuilder {
    let ack = NodeBuilder::new("ack").attr("class", "message").attr("id", id(message));
    ack.attr("from", to).attr("t", unix_now())
}

/// Delivers a group message or status that a phone has encrypted to linked devices. Phones get it another way.
pub(in super::super) fn deliver_encrypted(server: &Server, own: &DeviceId, message: &Node) -> Result<(), GroupRefusal> {
    let to = jid(message, "to").ok_or(GroupRefusal::NotFound)?;
    let mut state = server.state();
    match recipients::of(&state, own, message, &to) {
        Ok(recipients) => {
            let copies = recipients.copies.into_iter().filter(|copy| copy.device.device != 0).collect();
            deliver_copies(server, &mut state, own, message, &to, unix_now(), copies);
            Ok(())
        }
        Err(Undeliverable::Group(refusal)) => Err(refusal),
        Err(Undeliverable::Unknown | Undeliverable::NoAccount | Undeliverable::Limited) => Err(GroupRefusal::NotFound),
    }
}

fn deliver_copies(
    server: &Server,
    state: &mut State,
    own: &DeviceId,
    message: &Node,
    to: &Jid,
    now: u64,
    copies: Vec<Copy<'_>>,
) {
    let Some(account) = state.accounts.get(&own.number) else { return };
    let envelope = Envelope::new(account, own.device, message, to, now);
    let stanzas: Vec<_> = copies.into_iter().map(|copy| (envelope.stanza(&copy), copy.device)).collect();
    if to.is_status_broadcast() {
        state.posted(own, id(message));
    }
    for (stanza, device) in stanzas {
        state.deliver(&device, stanza, &server.stats);
    }
}

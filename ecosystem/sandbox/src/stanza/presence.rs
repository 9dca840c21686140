//! Presence and typing stanzas of devices; `crate::presence` decides who is notified.

use wacore_binary::Node;

use super::super::account::Addressing;
use super::super::node::{children, jid, text};
use super::super::presence::Activity;
use super::Context;

/// Sets the device's name and availability, or subscribes to a contact's presence.
pub(super) fn presence(context: &mut Context<'_>, presence: &Node, signature: String) {
    let Some(own) = context.device else { return };
    let mut state = context.server.state();
    let name = text(presence, "name");
    if let Some(account) = state.accounts.get_mut(&own.number).filter(|_| !name.is_empty()) {
        account.push_name = Some(name);
    }
    let contact = jid(presence, "to").and_then(|to| Some((state.number_of(&to)?, Addressing::of(&to))));
    match (text(presence, "type").as_str(), contact) {
        ("available", _) => state.set_available(own, true),
        ("unavailable", _) => state.set_available(own, false),
        ("subscribe", Some((number, addressing))) => {
            if let Some(account) = state.accounts.get_mut(&number) {
                account.presence.subscribe(own.clone(), addressing, context.link);
            }
            state.notify_subscriber(&number, own);
        }
        ("unsubscribe", Some((number, _))) => {
            if let Some(account) = state.accounts.get_mut(&number) {
                account.presence.unsubscribe(own);
            }
        }
        // A stanza with a name only, or for a group, which has no presence.
        ("" | "subscribe" | "unsubscribe", _) => {}
        _ => {
            drop(state);
            context.server.stats.unknown(signature);
        }
    }
}

/// Passes the owner's activity in a chat on.
pub(super) fn chatstate(context: &mut Context<'_>, chatstate: &Node, signature: String) {
    let (Some(own), Some(to)) = (context.device, jid(chatstate, "to")) else { return };
    match children(chatstate).first().and_then(Activity::of) {
        Some(activity) => context.server.state().pass_on(own, &to, activity),
        None => context.server.stats.unknown(signature),
    }
}

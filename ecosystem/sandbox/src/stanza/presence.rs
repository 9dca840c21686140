//! Presence and typing as a device says it; `presence` in the folder above decides who hears of it.

use wacore_binary::Node;

use super::super::account::Addressing;
use super::super::node::{children, jid, text};
use super::super::presence::Activity;
use super::Context;

/// The device says who it is and whether somebody looks at it, or asks to be told about a contact.
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
            state.tell_subscriber(&number, own);
        }
        ("unsubscribe", Some((number, _))) => {
            if let Some(account) = state.accounts.get_mut(&number) {
                account.presence.unsubscribe(own);
            }
        }
        // Only a name, or a chat that has no presence: a group.
        ("" | "subscribe" | "unsubscribe", _) => {}
        _ => {
            drop(state);
            context.server.stats.unknown(signature);
        }
    }
}

/// The device says what its owner does in a chat.
pub(super) fn chatstate(context: &mut Context<'_>, chatstate: &Node, signature: String) {
    let (Some(own), Some(to)) = (context.device, jid(chatstate, "to")) else { return };
    match children(chatstate).first().and_then(Activity::of) {
        Some(activity) => context.server.state().pass_on(own, &to, activity),
        None => context.server.stats.unknown(signature),
    }
}

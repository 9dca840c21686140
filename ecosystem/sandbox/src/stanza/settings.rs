//! Settings: queries and changes of devices, and the notifications to the account's other devices and to contacts.

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};

use super::super::account::{Addressing, DeviceId};
use super::super::node::{children, jid, text, unix_now};
use super::super::server::Server;
use super::super::state::State;
use super::Context;
use super::iq::Answer;

const NOT_LOGGED_IN: Answer = Answer::Refused(401, "not-authorized");
const BAD: Answer = Answer::Refused(400, "bad-request");

/// Reads or sets privacy settings.
pub(super) fn privacy(context: &mut Context<'_>, query: &Node) -> Answer {
    let mut state = context.server.state();
    let Some(account) = context.device.and_then(|own| state.accounts.get_mut(&own.number)) else {
        return NOT_LOGGED_IN;
    };
    let asked = query.get_optional_child("privacy").map(children).unwrap_or_default();
    let category =
        |name: &str, value: &str| NodeBuilder::new("category").attr("name", name).attr("value", value).build();
    let categories: Vec<Node> = if text(query, "type") == "set" {
        let settings = &mut account.settings;
        if !asked.iter().all(|asked| settings.set(&text(asked, "name"), &text(asked, "value"))) {
            return BAD;
        }
        asked.iter().map(|asked| category(&text(asked, "name"), &text(asked, "value"))).collect()
    } else {
        account.settings.privacy.iter().map(|(name, value)| category(name, value)).collect()
    };
    Answer::Result(vec![NodeBuilder::new("privacy").children(categories).build()])
}

pub(super) fn blocklist(context: &mut Context<'_>, query: &Node) -> Answer {
    let Some(own) = context.device else { return NOT_LOGGED_IN };
    let mut state = context.server.state();
    if text(query, "type") == "set" {
        let Some(item) = query.get_optional_child("item") else { return BAD };
        let (contact, action) = (jid(item, "jid"), text(item, "action"));
        let number = contact.as_ref().and_then(|contact| state.number_of(contact));
        let (Some(contact), Some(number)) = (contact, number) else { return BAD };
        let Some(account) = state.accounts.get_mut(&own.number) else { return NOT_LOGGED_IN };
        match action.as_str() {
            "block" => account.settings.blocked.insert(number, unix_now()),
            "unblock" => account.settings.blocked.remove(&number),
            _ => return BAD,
        };
        let change = NodeBuilder::new("item").attr("jid", contact.to_non_ad()).attr("action", action).build();
        notify_own_devices(context.server, &mut state, own, &NodeBuilder::new("blocklist").children([change]).build());
    }
    let Some(account) = state.accounts.get(&own.number) else { return NOT_LOGGED_IN };
    let items = account.settings.blocked.iter().map(|(number, since)| {
        let known = state.accounts.get(number).map(|contact| contact.jid(Addressing::Lid, 0));
        let contact = known.unwrap_or_else(|| Jid::pn(number.as_str()));
        NodeBuilder::new("item").attr("jid", contact).attr("t", *since).build()
    });
    Answer::Result(vec![NodeBuilder::new("list").children(items).build()])
}

/// Sets the lifetime of messages in new chats.
pub(super) fn disappearing(context: &mut Context<'_>, query: &Node) -> Answer {
    let Some(own) = context.device else { return NOT_LOGGED_IN };
    let mode = query.get_optional_child("disappearing_mode");
    let Some(duration) = mode.and_then(|mode| text(mode, "duration").parse::<u32>().ok()) else { return BAD };
    let mut state = context.server.state();
    let Some(account) = state.accounts.get_mut(&own.number) else { return NOT_LOGGED_IN };
    let now = unix_now();
    account.settings.disappearing = (duration, now);
    let mode = NodeBuilder::new("disappearing_mode").attr("duration", duration).attr("t", now).build();
    notify_own_devices(context.server, &mut state, own, &mode);
    Answer::Result(vec![])
}

/// Gives trusted-contact tokens to the devices of each recipient. The same contact gets the same token again.
pub(super) fn tokens(context: &mut Context<'_>, query: &Node) -> Answer {
    let Some(own) = context.device else { return NOT_LOGGED_IN };
    let mut state = context.server.state();
    for token in query.get_optional_child("tokens").map(children).unwrap_or_default() {
        let given = text(token, "t").parse().unwrap_or_else(|_| unix_now());
        let contact = jid(token, "jid").and_then(|contact| state.number_of(&contact));
        let Some(contact) = contact.filter(|contact| state.accounts.contains_key(contact)) else { continue };
        let Some(account) = state.accounts.get_mut(&own.number) else { return NOT_LOGGED_IN };
        let fresh = || (rand::random::<[u8; 16]>().to_vec(), given);
        let entry = account.settings.tokens.entry(contact.clone()).or_insert_with(fresh);
        entry.1 = entry.1.max(given);
        let token =
            NodeBuilder::new("token").attr("type", "trusted_contact").attr("t", entry.1).bytes(entry.0.clone()).build();
        let tokens = NodeBuilder::new("tokens").children([token]).build();
        let (from, lid) = (account.jid(Addressing::Pn, 0), account.jid(Addressing::Lid, 0));
        let devices = state.accounts.get(&contact).into_iter().flat_map(|contact| contact.devices.keys().copied());
        for device in devices.collect::<Vec<_>>() {
            let notification = NodeBuilder::new("notification")
                .attr("from", from.clone())
                .attr("sender_lid", lid.clone())
                .attr("type", "privacy_token")
                .attr("id", context.server.stanza_id())
                .attr("t", unix_now())
                .children([tokens.clone()])
                .build();
            state.deliver(&DeviceId { number: contact.clone(), device }, notification, &context.server.stats);
        }
    }
    Answer::Result(vec![])
}

/// Notifies the account's other devices of a change.
fn notify_own_devices(server: &Server, state: &mut State, own: &DeviceId, change: &Node) {
    let Some(account) = state.accounts.get(&own.number) else { return };
    let from = account.jid(Addressing::Pn, 0);
    let siblings: Vec<u16> = account.devices.keys().copied().filter(|device| *device != own.device).collect();
    for device in siblings {
        let notification = NodeBuilder::new("notification")
            .attr("from", from.clone())
            .attr("type", "account_sync")
            .attr("id", server.stanza_id())
            .attr("t", unix_now())
            .children([change.clone()])
            .build();
        state.deliver(&DeviceId { number: own.number.clone(), device }, notification, &server.stats);
    }
}

//! One form of address for each person.

use crate::message::vote::Addresses;
use wacore::types::message::MessageSource;
use wacore_binary::{Jid, JidExt as _};
use whatsapp_rust::client::Client;

/// The phone form of a user's JID, without device, if it is known: one person has one key, whichever way the server
/// addressed the message.
pub(crate) async fn phone_form(client: &Client, jid: &Jid, alternative: Option<&Jid>) -> Jid {
    if !jid.is_lid() {
        return jid.to_non_ad();
    }
    if let Some(known) = alternative.filter(|a| !a.is_lid()) {
        return known.to_non_ad();
    }
    match client.get_lid_pn_entry(jid).await {
        Ok(Some(entry)) => Jid::pn(entry.phone_number.to_string()),
        _ => jid.to_non_ad(),
    }
}

/// The chat and the sender of a message, as rows name them.
pub(crate) async fn chat_and_sender(client: &Client, source: &MessageSource) -> (Jid, Jid) {
    let sender = phone_form(client, &source.sender, source.sender_alt.as_ref()).await;
    let chat = if source.is_group || !source.chat.is_same_user_as(&source.sender) {
        phone_form(client, &source.chat, source.recipient_alt.as_ref()).await
    } else {
        sender.clone()
    };
    (chat, sender)
}

/// The addresses of one person, of which some are given.
pub(super) async fn addresses(client: &Client, given: impl IntoIterator<Item = &Jid>) -> Addresses {
    let mut known = Addresses::default();
    for jid in given {
        known.add(jid);
    }
    let other = match (&known.number, &known.lid) {
        (Some(only), None) | (None, Some(only)) => client.get_lid_pn_entry(only).await.ok().flatten(),
        _ => None,
    };
    if let Some(entry) = other {
        known.add(&Jid::pn(entry.phone_number.to_string()));
        known.add(&Jid::lid(entry.lid.to_string()));
    }
    known
}

/// The addresses of the account itself.
pub(super) fn own_addresses(client: &Client) -> Addresses {
    let mut own = Addresses::default();
    for jid in [client.pn(), client.lid()].into_iter().flatten() {
        own.add(&jid);
    }
    own
}

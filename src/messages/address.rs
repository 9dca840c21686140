//! One form of address for each person.

use wacore_binary::Jid;
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

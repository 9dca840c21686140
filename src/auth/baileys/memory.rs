//! Who has our sender key of a group, where a person is noted under the number and under the LID.
//!
//! When a device asks for a message again, for instance because its owner registered again, the client library forgets
//! it under the address that it asked with, which may be the LID in a group of numbers. Baileys looks the other address
//! up, would find that the device has the key, and would not send it. So a device counts as having the key only if every
//! address of it says so; to send the key once more does no harm.

use crate::auth::key_id::unescape;
use crate::auth::kind::Kind;
use crate::auth::records;
use serde_json::Value;
use std::collections::BTreeMap;
use wacore_binary::Jid;

/// The numbers of people by their LIDs, from rows of `wa.auth_key` as kind, id and value.
pub(super) fn numbers<'a>(rows: impl Iterator<Item = (&'a str, &'a str, &'a Value)>) -> BTreeMap<String, String> {
    rows.filter(|(kind, _, _)| *kind == Kind::LidMapping.name())
        .filter_map(|(_, id, value)| records::lid_mapping_from_json(id, value.clone()).ok())
        .map(|mapping| (mapping.lid, mapping.phone_number))
        .collect()
}

/// Makes the addresses of each device in a value of `sender-key-memory` agree.
pub(super) fn agree(memory: &mut Value, numbers: &BTreeMap<String, String>) {
    let Some(devices) = memory.as_object_mut() else { return };
    let mut has_key = BTreeMap::new();
    for (address, has) in devices.iter() {
        if let Some(device) = device(address, numbers) {
            *has_key.entry(device).or_insert(true) &= has == &Value::Bool(true);
        }
    }
    for (address, has) in devices.iter_mut() {
        if has == &Value::Bool(true) && device(address, numbers).is_some_and(|device| !has_key[&device]) {
            *has = Value::Bool(false);
        }
    }
}

/// The person, by number if it is known, and the device.
fn device(address: &str, numbers: &BTreeMap<String, String>) -> Option<(String, u16)> {
    let jid: Jid = unescape(address).parse().ok()?;
    let person = if jid.is_lid() { numbers.get(jid.user.as_str()).cloned() } else { Some(jid.user.to_string()) };
    Some((person.unwrap_or_else(|| jid.to_non_ad().to_string()), jid.device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a5_a_device_that_was_forgotten_under_one_address_has_no_key_under_the_other() {
        let mapping = json!({ "pn": "15550002" });
        let numbers = numbers([("lid-mapping", "915550002", &mapping)].into_iter());
        let mut memory = json!({
            "15550002@s.whatsapp.net": true, "915550002@lid": false,
            "15550002:3@s.whatsapp.net": true, "915550002:3@lid": true,
            "15550003@s.whatsapp.net": true, "915550003@lid": false, "no address": true,
        });
        agree(&mut memory, &numbers);
        assert_eq!(
            memory,
            json!({
                "15550002@s.whatsapp.net": false, "915550002@lid": false,
                "15550002:3@s.whatsapp.net": true, "915550002:3@lid": true,
                // Nobody knows that these two are one person.
                "15550003@s.whatsapp.net": true, "915550003@lid": false, "no address": true,
            })
        );
    }
}

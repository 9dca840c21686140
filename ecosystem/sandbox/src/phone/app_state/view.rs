//! The settings as the phone shows them: by chat, contact and message, and as raw records.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::replica::Replica;
use crate::json::of as as_json;

/// The answer of `GET /phones/{n}/app-state`.
pub(super) fn of(replica: &Replica) -> Value {
    let mut chats: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let (mut contacts, mut starred) = (BTreeMap::new(), BTreeSet::new());
    let (mut push_name, mut locale) = (None, None);
    for (index, setting) in replica.settings() {
        let value = &setting.value;
        let mut index = index.iter().map(String::as_str);
        let (action, about) = (index.next().unwrap_or_default(), index.next().unwrap_or_default());
        let mut show = |name: &str, shown: Value| {
            chats.entry(about).or_default().insert(name.to_owned(), shown);
        };
        match action {
            "archive" => show("archived", json!(value.archive_chat_action.archived)),
            "pin_v1" => show("pinned", json!(value.pin_action.pinned)),
            "mute" => {
                show("muted", json!(value.mute_action.muted));
                show("muted_until", json!(value.mute_action.mute_end_timestamp));
            }
            "markChatAsRead" => show("read", json!(value.mark_chat_as_read_action.read)),
            "deleteChat" => show("deleted", json!(true)),
            "contact" => drop(contacts.insert(about, value.contact_action.full_name.as_deref())),
            "star" if value.star_action.starred == Some(true) => starred.extend(index.next()),
            "setting_pushName" => push_name = value.push_name_setting.name.as_deref(),
            "setting_locale" => locale = value.locale_setting.locale.as_deref(),
            _ => {}
        }
    }
    let records = replica.settings().iter().map(|(index, setting)| {
        // The generated types always serialise; null stands for one that does not.
        let value = as_json(&setting.value).unwrap_or_default();
        json!({ "index": index, "collection": setting.collection, "value": value })
    });
    json!({
        "keys": replica.keys.ids(),
        "versions": replica.versions(),
        "chats": chats,
        "contacts": contacts,
        "starred": starred,
        "push_name": push_name,
        "locale": locale,
        "records": records.collect::<Vec<_>>(),
        "refused": replica.refused(),
    })
}

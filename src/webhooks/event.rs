//! What a webhook is told: one event, made of its row.

use super::people::{self, People};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

/// Most bytes of `data`, so that a body with its envelope stays below 20 kB.
const MOST: usize = 19_000;
/// Characters of a text that is still too long.
const TEXT: usize = 1000;

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    /// `wa.delivery.event_id`, the same in every attempt.
    pub id: String,
    /// `wa.delivery.type`.
    pub kind: String,
    /// When it happened.
    pub happened_at: DateTime<Utc>,
    /// `wa.session.name`; `None` for an event without a session.
    pub session: Option<String>,
    /// The field `data` of the body.
    pub data: Map<String, Value>,
}

impl Event {
    /// An event with this content of its row, in which people have both their number and their LID.
    #[must_use]
    pub fn new(
        (id, kind): (String, String),
        happened_at: DateTime<Utc>,
        (session_id, session): (Option<i64>, Option<String>),
        content: Map<String, Value>,
        people: &People,
    ) -> Self {
        let mut data = Map::new();
        if let Some(name) = &session {
            data.insert("session".into(), name.as_str().into());
        }
        let is_message = content.contains_key("inbox_id") || content.contains_key("outbound_id");
        let named = people.all_of(session_id, &content);
        data.extend(content);
        if is_message {
            for field in ["chat", "sender", "quoted_sender"] {
                if let Some(jid) = data.get(field).and_then(Value::as_str).map(str::to_owned) {
                    data.insert(field.into(), people.describe(session_id, &jid));
                }
            }
            if let Some(Value::Array(mentioned)) = data.get_mut("mentioned") {
                for jid in mentioned {
                    *jid = people.describe(session_id, jid.as_str().unwrap_or_default());
                }
            }
            if let (Some(name), Some(sender)) = (data.remove("name"), data.get_mut("sender")) {
                sender["name"] = name;
            }
        } else if !named.is_empty() {
            data.insert("people".into(), named.into());
        }
        Self { id, kind, happened_at, session, data: fitting(data) }
    }
}

/// The same, without what is too long; `truncated` names what was cut, and the ids that are left lead to the row.
fn fitting(mut data: Map<String, Value>) -> Map<String, Value> {
    let fits = |data: &Map<String, Value>| serde_json::to_vec(data).is_ok_and(|bytes| bytes.len() <= MOST);
    let cut = |data: &mut Map<String, Value>, field: &str| match data.get_mut("truncated").and_then(Value::as_array_mut)
    {
        Some(fields) if fields.iter().any(|known| known == field) => {}
        Some(fields) => fields.push(field.into()),
        None => drop(data.insert("truncated".into(), json!([field]))),
    };
    for field in ["message", "people", "mentioned"] {
        if !fits(&data) && data.remove(field).is_some() {
            cut(&mut data, field);
        }
    }
    if !fits(&data) {
        let long: Vec<String> = data
            .iter()
            .filter(|(_, value)| value.to_string().len() > TEXT && !value.is_null())
            .map(|(field, _)| field.clone())
            .collect();
        for field in long.iter().filter(|field| *field != "truncated") {
            match data.get_mut(field) {
                Some(Value::String(text)) => *text = text.chars().take(TEXT).collect(),
                _ => drop(data.remove(field)),
            }
            cut(&mut data, field);
        }
    }
    if !fits(&data) {
        data.retain(|field, _| people::KEPT.contains(&field.as_str()));
        cut(&mut data, "data");
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(content: &Value) -> Event {
        let content = content.as_object().expect("an object").clone();
        let names = ("msg_1".into(), "message.received".into());
        Event::new(names, DateTime::UNIX_EPOCH, (Some(1), Some("shop".into())), content, &People::default())
    }

    #[test]
    fn h5_people_of_a_message_have_number_and_lid_and_their_name() {
        let data =
            event(&json!({ "inbox_id": 7, "chat": "12036@g.us", "sender": "1555@s.whatsapp.net", "name": "Anna" }))
                .data;
        assert_eq!(data["chat"], json!({ "jid": "12036@g.us", "phone": null, "lid": null }));
        assert_eq!(
            data["sender"],
            json!({ "jid": "1555@s.whatsapp.net", "phone": "1555", "lid": null, "name": "Anna" })
        );
        assert_eq!((&data["session"], data.get("name")), (&json!("shop"), None));
        let data = event(&json!({ "event_id": 7, "from": "1555@lid", "participants": ["1@s.whatsapp.net"] })).data;
        let people = json!([
            { "jid": "1555@lid", "phone": null, "lid": "1555" },
            { "jid": "1@s.whatsapp.net", "phone": "1", "lid": null },
        ]);
        assert_eq!((&data["from"], &data["people"]), (&json!("1555@lid"), &people));
    }

    #[test]
    fn h5_a_body_stays_below_20_kb_and_says_what_was_cut() {
        let long = "ä".repeat(15_000);
        let data = event(&json!({ "inbox_id": 7, "body": "short", "message": { "a": long } })).data;
        assert_eq!((&data["truncated"], &data["body"]), (&json!(["message"]), &json!("short")));
        let data = event(&json!({ "inbox_id": 7, "body": long, "message": {}, "truncated": ["body"] })).data;
        assert_eq!((&data["truncated"], &data["inbox_id"]), (&json!(["body", "message"]), &json!(7)));
        let many: Map<String, Value> = (0..100).map(|n| (n.to_string(), "x".repeat(900).into())).collect();
        let mut many = Value::Object(many);
        many["event_id"] = 9.into();
        let data = event(&many).data;
        assert_eq!((&data["truncated"], &data["event_id"]), (&json!(["data"]), &json!(9)));
    }
}

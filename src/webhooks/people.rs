//! Both addresses of every person: the phone number and the LID.
//!
//! Rows name people by their number where it is known, else by their LID. The client library keeps what it learns of the
//! other address in the session's auth state (`lid-mapping`).

use crate::db::Db;
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

/// Fields that lead to the row, however long the others are.
pub(super) const KEPT: [&str; 8] =
    ["session", "inbox_id", "outbound_id", "event_id", "message_id", "chat", "kind", "status"];
/// Fields that people wrote themselves.
const WORDS: [&str; 4] = ["body", "name", "message", "choices"];

/// Most people of one message that are mentioned.
const MENTIONED: usize = 100;

const PHONE: &str = "s.whatsapp.net";
const LID: &str = "lid";

/// One address of a person, as a session knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Address {
    session_id: i64,
    user: String,
    is_lid: bool,
}

/// The other addresses of people.
#[derive(Debug, Default)]
pub struct People(HashMap<Address, Option<String>>);

/// The user of a JID, and whether it is a LID; `None` for groups and the like.
fn user(jid: &str) -> Option<(&str, bool)> {
    let (user, server) = jid.split_once('@')?;
    let user = user.split(':').next()?;
    let is_user = !user.is_empty() && user.len() <= 20 && user.bytes().all(|byte| byte.is_ascii_digit());
    (is_user && matches!(server, PHONE | LID)).then_some((user, server == LID))
}

/// The JIDs of people in the content of a row.
fn jids(content: &Map<String, Value>) -> Vec<&str> {
    let fields = content.iter().filter(|(field, _)| !WORDS.contains(&field.as_str())).map(|(_, value)| value);
    let mut found: Vec<&str> = vec![];
    for value in fields {
        let texts = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        for jid in texts.iter().filter_map(Value::as_str) {
            if user(jid).is_some() && !found.contains(&jid) {
                found.push(jid);
            }
        }
    }
    found
}

/// Adds to the content of a message the JIDs of those whom the message names beside its sender: `quoted_sender`, the author
/// of the message that it answers, and `mentioned`.
pub(super) fn name_others(content: &mut Map<String, Value>, message: &Value) {
    let Some(info) = context_of(message, 4) else { return };
    if let Some(author) = info.get("participant").and_then(Value::as_str).filter(|_| content.contains_key("quoted_id"))
    {
        content.insert("quoted_sender".into(), author.into());
    }
    let mentioned = info.get("mentioned_jid").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mentioned: Vec<Value> = mentioned.iter().filter(|jid| jid.is_string()).take(MENTIONED).cloned().collect();
    if !mentioned.is_empty() {
        content.insert("mentioned".into(), mentioned.into());
    }
}

/// The context of a message, which may be wrapped in others; that of the quoted message is not this one's.
fn context_of(message: &Value, depth: u32) -> Option<&Map<String, Value>> {
    let parts = message.as_object()?;
    if let Some(context) = parts.get("context_info").and_then(Value::as_object) {
        return Some(context);
    }
    let inner = parts.iter().filter(|(name, value)| value.is_object() && *name != "quoted_message");
    inner.filter(|_| depth > 0).find_map(|(_, value)| context_of(value, depth - 1))
}

impl People {
    /// Looks up the people in the contents of some rows, by the sessions of these.
    ///
    /// # Errors
    /// The database's.
    pub async fn look_up<'a>(
        db: &Db,
        contents: impl Iterator<Item = (i64, &'a Map<String, Value>)>,
    ) -> sqlx::Result<Self> {
        let addresses = contents.flat_map(|(session_id, content)| {
            let users = jids(content).into_iter().filter_map(user);
            users.map(move |(user, is_lid)| Address { session_id, user: user.to_owned(), is_lid })
        });
        let addresses: Vec<Address> = addresses.collect::<HashSet<_>>().into_iter().collect();
        if addresses.is_empty() {
            return Ok(Self::default());
        }
        let sessions: Vec<i64> = addresses.iter().map(|it| it.session_id).collect();
        let users: Vec<String> = addresses.iter().map(|it| it.user.clone()).collect();
        let lids: Vec<bool> = addresses.iter().map(|it| it.is_lid).collect();
        let found = sqlx::query_file!("sql/webhooks/people.sql", &sessions, &users, &lids).fetch_all(db).await?;
        let known = found
            .into_iter()
            .map(|row| (Address { session_id: row.session_id, user: row.person, is_lid: row.is_lid }, row.other));
        Ok(Self(known.collect()))
    }

    /// A person, or whatever else has this JID.
    #[must_use]
    pub fn describe(&self, session_id: Option<i64>, jid: &str) -> Value {
        let Some((user, is_lid)) = user(jid) else {
            return json!({ "jid": jid, "phone": null, "lid": null });
        };
        let other = session_id.and_then(|session_id| {
            let address = Address { session_id, user: user.to_owned(), is_lid };
            self.0.get(&address).cloned().flatten()
        });
        let (phone, lid) = if is_lid { (other, Some(user.to_owned())) } else { (Some(user.to_owned()), other) };
        json!({ "jid": jid, "phone": phone, "lid": lid })
    }

    /// The people in the content of a row.
    #[must_use]
    pub fn all_of(&self, session_id: Option<i64>, content: &Map<String, Value>) -> Vec<Value> {
        jids(content).into_iter().map(|jid| self.describe(session_id, jid)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h5_whom_a_message_quotes_and_mentions_is_found_also_in_a_wrapper() {
        let info = json!({ "participant": "1@lid", "mentioned_jid": ["2@lid", 7, "3@s.whatsapp.net"],
                              "quoted_message": { "extended_text_message": { "context_info": { "participant": "9@lid" } } } });
        let text = json!({ "extended_text_message": { "text": "Hi", "context_info": info } });
        for message in [text.clone(), json!({ "ephemeral_message": { "message": text } })] {
            let mut content = Map::from_iter([("quoted_id".to_owned(), json!("3EB0"))]);
            name_others(&mut content, &message);
            let wanted =
                json!({ "quoted_id": "3EB0", "quoted_sender": "1@lid", "mentioned": ["2@lid", "3@s.whatsapp.net"] });
            assert_eq!(Value::Object(content), wanted);
        }
        let mut content = Map::new();
        name_others(&mut content, &json!({ "conversation": "Hi" }));
        assert!(content.is_empty());
    }

    #[test]
    fn h5_users_are_told_from_groups_and_words() {
        for (jid, wanted) in [
            ("1555@s.whatsapp.net", Some(("1555", false))),
            ("1555:3@s.whatsapp.net", Some(("1555", false))),
            ("99@lid", Some(("99", true))),
            ("12036@g.us", None),
            ("status@broadcast", None),
            ("anna@lid", None),
            ("1555", None),
        ] {
            assert_eq!(user(jid), wanted, "{jid}");
        }
        let content = json!({ "by": "1@lid", "participants": ["2@lid", "1@lid"], "body": "3@lid", "group": "4@g.us" });
        assert_eq!(jids(content.as_object().expect("an object")), ["1@lid", "2@lid"]);
    }
}

//! The JSON of a message as a function of bytes (M4, R5), for a fuzz target and property tests.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "an input that breaks a promise must end the program"
)]

use buffa::Message as _;
use serde_json::Value;
use waproto::whatsapp as wa;

use super::content::Content;
use super::json;
use super::meaning::{Received, received};
use super::vote::Poll;

/// A message as anybody may have sent it becomes JSON that Postgres stores, and the JSON becomes a message again, for
/// replies and forwards. Stored a second time, it is the same JSON.
pub fn message(data: &[u8]) {
    let Ok(message) = wa::Message::decode_from_slice(data) else { return };
    let value = json::of(&message).expect("a message becomes JSON");
    assert!(value.is_object() && storable(&value), "{value}");
    let again = json::read(&value).expect("what is stored is a message");
    assert_eq!(json::of(&again).expect("a message becomes JSON"), value);
    drop(Poll::received(&value));
    if let Received::Message(meaning) = received(&message) {
        assert!(!meaning.kind.is_empty());
    }
}

/// A row of `wa.outbound` as JSON is parsed, or refused with a reason.
pub fn content(data: &[u8]) {
    let Ok(row) = serde_json::from_slice::<Value>(data) else { return };
    let kind = row["kind"].as_str().unwrap_or_default();
    if let Ok(content) = Content::read(kind, row["body"].as_str(), row.get("content")) {
        drop(content.standalone());
    }
}

/// JSONB holds no NUL.
fn storable(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.contains('\0'),
        Value::Array(items) => items.iter().all(storable),
        Value::Object(fields) => fields.iter().all(|(name, value)| !name.contains('\0') && storable(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

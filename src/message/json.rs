//! A WhatsApp message as JSON for `wa.inbox.message`: the fields that are set, under the protocol's names in snake
//! case. Bytes are `{"type":"Buffer","data":"<base64>"}`, as everywhere in the database.

pub(crate) use crate::db::storable::without_nul as storable;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};
use serde_value::Value as Typed;
use waproto::whatsapp as wa;

/// Converts `message`.
///
/// # Errors
/// The message cannot be serialised; the generated types always can.
pub(crate) fn of(message: &impl Serialize) -> Result<Value, serde_value::SerializerError> {
    Ok(convert(serde_value::to_value(message)?).unwrap_or(Value::Object(Map::new())))
}

/// `None` for a field that is not set: absent, an empty list, empty bytes, a number that is none.
fn convert(value: Typed) -> Option<Value> {
    Some(match value {
        Typed::Unit | Typed::Option(None) => return None,
        Typed::Option(Some(inner)) | Typed::Newtype(inner) => return convert(*inner),
        Typed::Seq(items) if items.is_empty() => return None,
        // Only bytes are repeated fields with elements of eight bits.
        Typed::Seq(items) => match items.iter().map(byte).collect::<Option<Vec<u8>>>() {
            Some(bytes) => buffer(&bytes),
            None => Value::Array(items.into_iter().map(|item| convert(item).unwrap_or(Value::Null)).collect()),
        },
        Typed::Bytes(bytes) if bytes.is_empty() => return None,
        Typed::Bytes(bytes) => buffer(&bytes),
        Typed::Map(fields) => {
            Value::Object(fields.into_iter().filter_map(|(name, value)| Some((key(name), convert(value)?))).collect())
        }
        Typed::String(text) => Value::String(storable(&text)),
        Typed::Char(c) => Value::String(storable(&c.to_string())),
        Typed::Bool(b) => b.into(),
        Typed::U8(n) => n.into(),
        Typed::U16(n) => n.into(),
        Typed::U32(n) => n.into(),
        Typed::U64(n) => n.into(),
        Typed::I8(n) => n.into(),
        Typed::I16(n) => n.into(),
        Typed::I32(n) => n.into(),
        Typed::I64(n) => n.into(),
        // JSON has no infinity and no NaN; a location may hold one.
        Typed::F32(n) if !n.is_finite() => return None,
        Typed::F64(n) if !n.is_finite() => return None,
        Typed::F32(n) => json!(n),
        Typed::F64(n) => json!(n),
    })
}

fn byte(value: &Typed) -> Option<u8> {
    if let Typed::U8(byte) = value { Some(*byte) } else { None }
}

fn buffer(bytes: &[u8]) -> Value {
    json!({ "type": "Buffer", "data": BASE64_STANDARD.encode(bytes) })
}

fn key(name: Typed) -> String {
    match name {
        Typed::String(name) => storable(&name),
        other => convert(other).map(|v| v.to_string()).unwrap_or_default(),
    }
}

/// The message from which [`of`] made `value`.
///
/// # Errors
/// `value` is not a message.
pub(crate) fn read(value: &Value) -> serde_json::Result<wa::Message> {
    serde_json::from_value(plain(value))
}

/// Bytes as the generated types read them: a list of numbers.
fn plain(value: &Value) -> Value {
    if let Some(bytes) = bytes(value) {
        return Value::Array(bytes.into_iter().map(Value::from).collect());
    }
    match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        other => other.clone(),
    }
}

/// The bytes that a Buffer holds.
pub(crate) fn bytes(value: &Value) -> Option<Vec<u8>> {
    let fields =
        value.as_object().filter(|fields| fields.len() == 2 && fields.get("type").is_some_and(|it| it == "Buffer"))?;
    BASE64_STANDARD.decode(fields.get("data")?.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m4_only_what_is_set_and_bytes_as_buffers() {
        let mut message = wa::Message { conversation: Some("a\0b".into()), ..Default::default() };
        message.message_context_info = buffa::MessageField::some(wa::MessageContextInfo {
            message_secret: Some(vec![1, 2, 3]),
            ..Default::default()
        });
        assert_eq!(
            of(&message).expect("it serialises"),
            json!({
                "conversation": "a\u{fffd}b",
                "message_context_info": { "message_secret": { "type": "Buffer", "data": "AQID" } },
            })
        );
    }
}

//! A WhatsApp message as JSON for the control API: the fields that are set, with the protocol's names in snake case,
//! and bytes as `{"type":"Buffer","data":"<base64>"}`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};
use serde_value::Value as Typed;

/// Converts `message`.
///
/// # Errors
/// When the message does not serialise. The generated types always do.
pub(crate) fn of(message: &impl Serialize) -> Result<Value, serde_value::SerializerError> {
    Ok(convert(serde_value::to_value(message)?).unwrap_or(Value::Object(Map::new())))
}

/// `None` for a field that is not set: absent, an empty list, empty bytes.
fn convert(value: Typed) -> Option<Value> {
    Some(match value {
        Typed::Unit | Typed::Option(None) => return None,
        Typed::Option(Some(inner)) | Typed::Newtype(inner) => return convert(*inner),
        Typed::Seq(items) if items.is_empty() => return None,
        // Bytes are the only repeated fields whose elements have eight bits.
        Typed::Seq(items) => match items.iter().map(byte).collect::<Option<Vec<u8>>>() {
            Some(bytes) => buffer(&bytes),
            None => Value::Array(items.into_iter().map(|item| convert(item).unwrap_or(Value::Null)).collect()),
        },
        Typed::Bytes(bytes) if bytes.is_empty() => return None,
        Typed::Bytes(bytes) => buffer(&bytes),
        Typed::Map(fields) => fields
            .into_iter()
            .filter_map(|(name, value)| {
                let Typed::String(name) = name else { return None };
                Some((name, convert(value)?))
            })
            .collect(),
        other => other.deserialize_into().ok()?,
    })
}

fn byte(value: &Typed) -> Option<u8> {
    if let Typed::U8(byte) = value { Some(*byte) } else { None }
}

fn buffer(bytes: &[u8]) -> Value {
    json!({ "type": "Buffer", "data": BASE64_STANDARD.encode(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use buffa::MessageField;
    use waproto::whatsapp::{Message, MessageContextInfo};

    #[test]
    fn x1_a_message_is_shown_by_its_set_fields_with_bytes_as_buffers() {
        let info = MessageContextInfo { message_secret: Some(vec![1, 2, 3]), ..Default::default() };
        let message = Message {
            conversation: Some("Hi".into()),
            message_context_info: MessageField::some(info),
            ..Default::default()
        };
        assert_eq!(
            of(&message).expect("it serialises"),
            json!({
                "conversation": "Hi",
                "message_context_info": { "message_secret": { "type": "Buffer", "data": "AQID" } },
            })
        );
    }
}

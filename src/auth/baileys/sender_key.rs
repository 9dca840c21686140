//! Sender keys of groups: JSON inside bytes, the current state last, with the keys of skipped messages.

use super::Problem;
use crate::auth::codec::{self, DecodeError, Fields};
use serde_json::Value;
use wacore::libsignal::protocol::{
    SenderChainKeyComponents, SenderKeyRecord, SenderKeyRecordComponents, SenderKeyStateComponents,
    SenderMessageKeyComponents, SenderSigningKeyComponents,
};

const STATES: &str = "an array of sender key states, as JSON or as bytes that hold it";

/// Converts a record into the client library's.
pub(super) fn read(value: Value) -> Result<Vec<u8>, Problem> {
    let value = codec::open(value);
    let value = match codec::revive(&value) {
        Some(bytes) => {
            serde_json::from_slice(&bytes).map_err(|_| DecodeError::new("value", "bytes of something else", STATES))?
        }
        None => value,
    };
    let value = codec::open(value);
    let states = value.as_array().ok_or_else(|| DecodeError::new("value", codec::shape(&value), STATES))?;
    // The current state is Baileys' last, and the library's first.
    let states = states.iter().rev().map(state).collect::<Result<Vec<_>, Problem>>()?;
    if states.is_empty() {
        return Err(DecodeError::new("value", "no state", STATES).into());
    }
    let record = SenderKeyRecord::from_components(SenderKeyRecordComponents { states });
    let record = record.and_then(|record| record.serialize());
    record.map_err(|error| Problem::Library(error.to_string()))
}

fn state(value: &Value) -> Result<SenderKeyStateComponents, Problem> {
    let fields = Fields::of(value, "")?;
    let chain = Fields::of(fields.required("senderChainKey", "an object")?, "senderChainKey")?;
    let signing = Fields::of(fields.required("senderSigningKey", "an object")?, "senderSigningKey")?;
    let skipped = fields.get("senderMessageKeys").and_then(Value::as_array);
    let mut message_keys = Vec::new();
    for key in skipped.into_iter().flatten() {
        let key = Fields::of(key, "senderMessageKeys[]")?;
        message_keys.push(SenderMessageKeyComponents {
            iteration: key.number("iteration")?,
            seed: key.bytes_of_any_form("seed")?,
        });
    }
    let private = signing.get("private").map(|_| signing.bytes_of_any_form("private")).transpose()?;
    let mut public = signing.bytes_of_any_form("public")?;
    if public.len() == 32 {
        public.insert(0, 5);
    }
    Ok(SenderKeyStateComponents {
        key_id: fields.number("senderKeyId")?,
        chain_key: SenderChainKeyComponents {
            iteration: chain.number("iteration")?,
            seed: chain.bytes_of_any_form("seed")?,
        },
        signing_key: SenderSigningKeyComponents { public, private: private.filter(|key| !key.is_empty()) },
        message_keys,
    })
}

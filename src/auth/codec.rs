//! The JSON of `wa.auth` and `wa.auth_key`.
//!
//! Bytes are written in one shape, `{"type":"Buffer","data":"<base64>"}`, and read in every shape that other programs
//! write, at any depth: the same with an array of integers, `{"0":1,"1":2,…}`, `{"buffer":true,"data":…}`.
//! An object may also be JSON text inside JSON, once or several times over.
//!
//! Nothing here panics, whatever the input, and no error repeats a value: it may be a key.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

/// The shapes in which bytes are read, for error messages.
pub const BYTES: &str = r#"bytes as {"type":"Buffer","data":"<base64>"}, the same with an array of integers 0 to 255, {"0":1,"1":2,…} or {"buffer":true,"data":…}"#;

/// How many layers of JSON text inside JSON are opened, and how deep revival goes.
const DEPTH: usize = 128;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A value that could not be read. Names the field and the shape found, never the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: found {found}, accepted is {accepted}")]
pub struct DecodeError {
    /// Where in the value, as in `signedPreKey.keyPair.private`; `value` is the whole.
    pub field: String,
    /// The shape of the value.
    pub found: String,
    /// The shapes that can be read.
    pub accepted: &'static str,
}

impl DecodeError {
    /// An error about a field.
    pub fn new(field: impl Into<String>, found: impl Into<String>, accepted: &'static str) -> Self {
        Self { field: field.into(), found: found.into(), accepted }
    }
}

/// The shape of a value in words.
#[must_use]
pub fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "a boolean".into(),
        Value::Number(_) => "a number".into(),
        Value::String(text) => format!("text of {} bytes", text.len()),
        Value::Array(items) => format!("an array of {} items", items.len()),
        Value::Object(map) => format!("an object of {} fields that is not a readable shape of bytes", map.len()),
    }
}

/// Bytes in the one shape that is written.
#[must_use]
pub fn buffer(bytes: &[u8]) -> Value {
    Value::Object(Map::from_iter([
        ("type".to_owned(), Value::from("Buffer")),
        ("data".to_owned(), Value::from(base64(bytes))),
    ]))
}

/// Bytes as base64 text, for the few fields that are plain text in Baileys.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Base64 text, padded or not.
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.trim()).ok()
}

/// Text as a JSON string, or as bytes when it holds a NUL, which JSONB cannot.
#[must_use]
pub fn text(text: &str) -> Value {
    if text.contains('\0') { buffer(text.as_bytes()) } else { Value::from(text) }
}

/// A value as JSONB can hold it: text with a NUL in it becomes bytes, and a name with one is percent-encoded.
#[must_use]
pub fn storable(value: Value) -> Value {
    match value {
        Value::String(found) => text(&found),
        Value::Array(items) => Value::Array(items.into_iter().map(storable).collect()),
        Value::Object(map) => {
            let name = |name: String| if name.contains('\0') { name.replace('\0', "%00") } else { name };
            Value::Object(map.into_iter().map(|(key, item)| (name(key), storable(item))).collect())
        }
        other => other,
    }
}

/// Bytes in any shape, or `None` when the value is no shape of bytes. `{}` is none here; see [`bytes()`].
#[must_use]
pub fn revive(value: &Value) -> Option<Vec<u8>> {
    let map = value.as_object()?;
    let tagged =
        map.get("type").and_then(Value::as_str) == Some("Buffer") || map.get("buffer") == Some(&Value::Bool(true));
    if tagged {
        return match map.get("data").or_else(|| map.get("value"))? {
            Value::String(text) => from_base64(text),
            Value::Array(items) => octets(items.iter()),
            data @ Value::Object(inner) => {
                if inner.is_empty() {
                    Some(Vec::new())
                } else {
                    indexed(data.as_object()?)
                }
            }
            _ => None,
        };
    }
    if map.is_empty() { None } else { indexed(map) }
}

fn octets<'a>(mut items: impl Iterator<Item = &'a Value>) -> Option<Vec<u8>> {
    items.try_fold(Vec::new(), |mut bytes, item| {
        bytes.push(u8::try_from(item.as_u64()?).ok()?);
        Some(bytes)
    })
}

/// `{"0":1,"1":2,…}` with every index from 0 on, in any order.
fn indexed(map: &Map<String, Value>) -> Option<Vec<u8>> {
    let mut bytes = vec![None; map.len()];
    for (index, item) in map {
        let place = bytes.get_mut(index.parse::<usize>().ok()?)?;
        *place = Some(u8::try_from(item.as_u64()?).ok()?);
    }
    bytes.into_iter().collect()
}

/// Opens JSON text inside JSON, when the text is an object or an array, as often as it was wrapped.
#[must_use]
pub fn open(mut value: Value) -> Value {
    for _ in 0..DEPTH {
        let Value::String(text) = &value else { break };
        if !text.trim_start().starts_with(['{', '[', '"']) {
            break;
        }
        let Ok(inner) = serde_json::from_str(text) else { break };
        value = inner;
    }
    value
}

/// Bytes where bytes are required: in every shape, `{}` as none, and any of them as JSON text.
pub fn bytes(value: &Value, field: &str) -> Result<Vec<u8>, DecodeError> {
    match value {
        Value::Object(map) if map.is_empty() => Some(Vec::new()),
        Value::Object(_) => revive(value),
        Value::String(_) => match open(value.clone()) {
            inner @ Value::Object(_) => revive(&inner),
            _ => None,
        },
        _ => None,
    }
    .ok_or_else(|| DecodeError::new(field, shape(value), BYTES))
}

/// Bytes of one length.
pub fn fixed<const N: usize>(value: &Value, field: &str) -> Result<[u8; N], DecodeError> {
    to_fixed(&bytes(value, field)?, field)
}

/// Checks the length of bytes. For 32 bytes, 33 that begin with 5 are accepted too: a public key behind its type.
pub fn to_fixed<const N: usize>(bytes: &[u8], field: &str) -> Result<[u8; N], DecodeError> {
    let plain = match bytes {
        [5, key @ ..] if N == 32 && key.len() == 32 => key,
        _ => bytes,
    };
    plain.try_into().map_err(|_| {
        DecodeError::new(
            field,
            format!("{} bytes", bytes.len()),
            match N {
                32 => "32 bytes (or 33: a 5 before a public key)",
                64 => "64 bytes",
                128 => "128 bytes",
                _ => "another number of bytes",
            },
        )
    })
}

/// Rewrites bytes of every shape, at any depth, in the one shape that is written.
#[must_use]
pub fn canonical(value: Value) -> Value {
    map_tree(value, 0, &|value| revive(&value).map_or(value, |bytes| buffer(&bytes)))
}

/// Turns bytes of every shape, at any depth, into arrays of integers, which is how serde reads them.
#[must_use]
pub(super) fn to_arrays(value: Value) -> Value {
    map_tree(value, 0, &|value| revive(&value).map_or(value, Value::from))
}

/// Turns arrays of integers 0 to 255, at any depth, into bytes: from serde's form to the one that is written.
#[must_use]
pub(super) fn from_arrays(value: Value) -> Value {
    map_tree(value, 0, &|value| {
        let found = value.as_array().filter(|items| !items.is_empty()).and_then(|items| octets(items.iter()));
        found.map_or(value, |bytes| buffer(&bytes))
    })
}

/// Replaces values from the outside in; does not descend into a replacement.
fn map_tree(value: Value, depth: usize, replace: &impl Fn(Value) -> Value) -> Value {
    if depth >= DEPTH {
        return value;
    }
    let was_array = value.is_array();
    let value = match value {
        Value::Array(_) | Value::Object(_) => replace(value),
        other => return other,
    };
    match value {
        Value::Array(items) if was_array => {
            Value::Array(items.into_iter().map(|item| map_tree(item, depth + 1, replace)).collect())
        }
        Value::Object(map) if !is_written_shape(&map) => {
            Value::Object(map.into_iter().map(|(name, item)| (name, map_tree(item, depth + 1, replace))).collect())
        }
        other => other,
    }
}

/// Whether an object already is bytes in the one shape.
fn is_written_shape(map: &Map<String, Value>) -> bool {
    map.len() == 2
        && map.get("type").and_then(Value::as_str) == Some("Buffer")
        && map.get("data").is_some_and(Value::is_string)
}

/// Fields of an object, read by name, with errors that name them.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    at: &'a str,
}

impl<'a> Fields<'a> {
    /// The fields of `value`, which errors call `at` (empty for the whole).
    pub fn of(value: &'a Value, at: &'a str) -> Result<Self, DecodeError> {
        let name = if at.is_empty() { "value" } else { at };
        let map = value.as_object().ok_or_else(|| DecodeError::new(name, shape(value), "an object"))?;
        Ok(Self { map, at })
    }

    /// The path of a field, for an error.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    /// The field unless it is absent or null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A required field.
    pub fn required(&self, name: &str, accepted: &'static str) -> Result<&'a Value, DecodeError> {
        self.get(name).ok_or_else(|| DecodeError::new(self.path(name), "nothing", accepted))
    }

    /// Required bytes.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, DecodeError> {
        bytes(self.required(name, BYTES)?, &self.path(name))
    }

    /// Required bytes of one length.
    pub fn fixed<const N: usize>(&self, name: &str) -> Result<[u8; N], DecodeError> {
        fixed(self.required(name, BYTES)?, &self.path(name))
    }

    /// Bytes or base64 text, if present.
    pub fn bytes_or_base64(&self, name: &str) -> Result<Option<Vec<u8>>, DecodeError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_str().and_then(from_base64) {
            Some(bytes) => Ok(Some(bytes)),
            None => bytes(value, &self.path(name)).map(Some),
        }
    }

    /// Required bytes, base64 text or array of integers.
    pub fn bytes_of_any_form(&self, name: &str) -> Result<Vec<u8>, DecodeError> {
        let value = self.required(name, BYTES)?;
        if let Some(items) = value.as_array() {
            return octets(items.iter()).ok_or_else(|| DecodeError::new(self.path(name), shape(value), BYTES));
        }
        self.bytes_or_base64(name)?.ok_or_else(|| DecodeError::new(self.path(name), shape(value), BYTES))
    }

    /// An integer, if present: a number, decimal text, or `{low, high}` as JavaScript's long integers are written.
    pub fn integer(&self, name: &str) -> Result<Option<i128>, DecodeError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let long = |part: &str| value.get(part).and_then(Value::as_i64);
        let number = match value {
            Value::Number(number) => number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)),
            Value::String(text) => text.trim().parse().ok(),
            Value::Object(_) => long("high")
                .zip(long("low"))
                .map(|(high, low)| (i128::from(high) << 32) | i128::from(low & 0xFFFF_FFFF)),
            _ => None,
        };
        number.map(Some).ok_or_else(|| DecodeError::new(self.path(name), shape(value), "an integer"))
    }

    /// A required integer that fits its type.
    pub fn number<T: TryFrom<i128>>(&self, name: &str) -> Result<T, DecodeError> {
        self.maybe_number(name)?.ok_or_else(|| DecodeError::new(self.path(name), "nothing", "an integer"))
    }

    /// An integer that fits its type, if present.
    pub fn maybe_number<T: TryFrom<i128>>(&self, name: &str) -> Result<Option<T>, DecodeError> {
        self.integer(name)?
            .map(|number| {
                let error =
                    |_| DecodeError::new(self.path(name), "a number out of range", "an integer of this field's range");
                T::try_from(number).map_err(error)
            })
            .transpose()
    }

    /// Text, if present.
    pub fn text(&self, name: &str) -> Result<Option<String>, DecodeError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let found = match value {
            Value::String(text) => Some(text.clone()),
            other => revive(other).and_then(|bytes| String::from_utf8(bytes).ok()),
        };
        found.map(Some).ok_or_else(|| DecodeError::new(self.path(name), shape(value), "text"))
    }

    /// Whether the field is true.
    #[must_use]
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some(&Value::Bool(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a2_every_shape_of_bytes_is_read() {
        for value in [
            json!({"type": "Buffer", "data": "AQL/"}),
            json!({"type": "Buffer", "data": [1, 2, 255]}),
            json!({"0": 1, "1": 2, "2": 255}),
            json!({"2": 255, "0": 1, "1": 2}),
            json!({"buffer": true, "data": "AQL/"}),
            json!({"buffer": true, "data": [1, 2, 255]}),
            json!({"buffer": true, "data": {"0": 1, "1": 2, "2": 255}}),
            json!({"buffer": true, "value": "AQL/"}),
            json!(r#"{"type":"Buffer","data":"AQL/"}"#),
        ] {
            assert_eq!(bytes(&value, "x"), Ok(vec![1, 2, 255]), "{value}");
        }
        assert_eq!(bytes(&json!({}), "x"), Ok(vec![]));
        assert_eq!(bytes(&json!({"type": "Buffer", "data": ""}), "x"), Ok(vec![]));
    }

    #[test]
    fn a2_an_error_names_the_field_and_the_accepted_shapes_but_no_value() {
        for value in [
            json!("c2VjcmV0"),
            json!(["secret"]),
            json!({"type": "Buffer", "data": "sec ret!"}),
            json!({"0": 1, "2": 2}),
            json!({"0": 256}),
        ] {
            let error = bytes(&value, "noiseKey.private").expect_err("not bytes").to_string();
            assert!(error.starts_with("noiseKey.private: found "), "{error}");
            assert!(error.contains(r#"{"type":"Buffer","data":"<base64>"}"#), "{error}");
            assert!(!error.contains("secret") && !error.contains("c2Vj") && !error.contains("sec ret"), "{error}");
        }
    }

    #[test]
    fn a2_bytes_are_revived_at_any_depth_and_written_in_one_shape() {
        let wild = json!({"a": [{"b": {"type": "Buffer", "data": [1, 2]}}, {"0": 9}], "c": {"buffer": true, "data": "AQI="}, "d": {}, "e": "x"});
        let tame = json!({"a": [{"b": {"type": "Buffer", "data": "AQI="}}, {"type": "Buffer", "data": "CQ=="}], "c": {"type": "Buffer", "data": "AQI="}, "d": {}, "e": "x"});
        assert_eq!(canonical(wild), tame);
    }

    #[test]
    fn a2_json_text_inside_json_is_opened() {
        let once = json!({"a": 1}).to_string();
        let twice = json!(once).to_string();
        assert_eq!(open(json!(twice)), json!({"a": 1}));
        assert_eq!(open(json!("15550009")), json!("15550009"));
        assert_eq!(open(json!("{broken")), json!("{broken"));
    }

    #[test]
    fn a2_integers_are_read_as_javascript_writes_them() {
        let value = json!({"a": 7, "b": "8", "c": {"low": -1, "high": 0, "unsigned": true}, "d": 1.5});
        let fields = Fields::of(&value, "").expect("object");
        assert_eq!(fields.number::<i64>("a"), Ok(7));
        assert_eq!(fields.number::<i64>("b"), Ok(8));
        assert_eq!(fields.number::<i64>("c"), Ok(4_294_967_295));
        assert!(fields.number::<i64>("d").is_err());
        assert!(fields.number::<u8>("c").is_err());
    }

    proptest! {
        #[test]
        fn a2_bytes_round_trip(data: Vec<u8>) {
            prop_assert_eq!(bytes(&buffer(&data), "x"), Ok(data.clone()));
            prop_assert_eq!(to_arrays(from_arrays(Value::from(data.clone()))), Value::from(data));
        }
    }
}

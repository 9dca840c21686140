//! Fields of JSON in rows, as serde reads them.

use super::json;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::Value;
use wacore_binary::Jid;

/// A JID, or nothing.
pub(crate) fn jid<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Jid>, D::Error> {
    Option::<String>::deserialize(from)?.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

/// A list of JIDs.
pub(crate) fn jids<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Jid>, D::Error> {
    Vec::<String>::deserialize(from)?.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

/// `{"type":"Buffer","data":"<base64>"}`.
pub(crate) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    json::bytes(&Value::deserialize(from)?).ok_or_else(|| D::Error::custom("not a Buffer"))
}

/// As `bytes`, for a field that may be absent.
pub(crate) fn some_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
    bytes(from).map(Some)
}

//! The gate between the world outside and the database (R10): what a peer, a server or a library wrote becomes
//! something that Postgres stores.
//!
//! Postgres refuses U+0000 in text and in JSONB, and a row of an index is limited to 2.7 kB. Whoever can send an id, a
//! name or a text must not be able to make a statement fail, so writers take these types, and only their constructors
//! make them.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, Postgres};
use sqlx::{Encode, Type};
use std::fmt;
use std::sync::Arc;

/// Most bytes of an id and of a JID. Four of them fit into one row of an index.
pub const ID_BYTES: usize = 255;
/// Most characters of a name that somebody shows.
pub const NAME_CHARACTERS: usize = 1000;
/// Most characters of an error or a reason.
pub const ERROR_CHARACTERS: usize = 500;
/// Most levels of JSON. Readers, `serde_json` among them, stop at 128, and what we wrap it in adds some.
pub const JSON_LEVELS: usize = 100;
/// Hexadecimal digits of the hash that keeps a changed id apart from others.
const HASH_DIGITS: usize = 32;

/// Text that Postgres stores: without U+0000, and no longer than its column takes. Clones share the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Storable(Arc<str>);

impl Storable {
    /// Text of any length; U+FFFD stands for U+0000.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self(without_nul(text).into())
    }

    /// A name that somebody shows, cut to [`NAME_CHARACTERS`].
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self(without_nul(cut(name, NAME_CHARACTERS)).into())
    }

    /// An error or a reason, which may quote received text; cut to [`ERROR_CHARACTERS`].
    #[must_use]
    pub fn error(error: &str) -> Self {
        let shown = cut(error, ERROR_CHARACTERS - 1);
        Self(if shown.len() == error.len() { without_nul(error) } else { without_nul(shown) + "…" }.into())
    }

    /// An id or a JID. One that is stored with a change (a U+0000, more than [`ID_BYTES`]) ends with a hash of the
    /// original, so the same id is always stored the same, and two ids are not stored as one.
    #[must_use]
    pub fn id(id: &str) -> Self {
        Self(id_of(id).into())
    }

    /// Text that was read from the database.
    #[must_use]
    pub const fn stored(text: Arc<str>) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Storable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Type<Postgres> for Storable {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }

    fn compatible(other: &PgTypeInfo) -> bool {
        <str as Type<Postgres>>::compatible(other)
    }
}

impl PgHasArrayType for Storable {
    fn array_type_info() -> PgTypeInfo {
        <String as PgHasArrayType>::array_type_info()
    }

    fn array_compatible(other: &PgTypeInfo) -> bool {
        <String as PgHasArrayType>::array_compatible(other)
    }
}

impl Encode<'_, Postgres> for Storable {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&str as Encode<'_, Postgres>>::encode_by_ref(&self.as_str(), buffer)
    }
}

/// JSON that Postgres stores as JSONB and that can be read again: no U+0000 in texts and names of fields, and no more than
/// [`JSON_LEVELS`].
#[derive(Debug, Clone, PartialEq)]
pub struct StorableJson(Value);

impl StorableJson {
    /// The same value; U+FFFD stands for U+0000, and null for arrays and objects that are too deep. A
    /// `serde_json::Value` has no NaN and no infinity.
    #[must_use]
    pub fn new(value: Value) -> Self {
        Self(json(value, JSON_LEVELS))
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.0
    }
}

impl Type<Postgres> for StorableJson {
    fn type_info() -> PgTypeInfo {
        <Value as Type<Postgres>>::type_info()
    }

    fn compatible(other: &PgTypeInfo) -> bool {
        <Value as Type<Postgres>>::compatible(other)
    }
}

impl PgHasArrayType for StorableJson {
    fn array_type_info() -> PgTypeInfo {
        <Value as PgHasArrayType>::array_type_info()
    }

    fn array_compatible(other: &PgTypeInfo) -> bool {
        <Value as PgHasArrayType>::array_compatible(other)
    }
}

impl Encode<'_, Postgres> for StorableJson {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <Value as Encode<'_, Postgres>>::encode_by_ref(&self.0, buffer)
    }
}

/// U+FFFD for each U+0000, which Postgres stores neither in text nor in JSONB.
#[must_use]
pub fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn json(value: Value, levels: usize) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => without_nul(&text).into(),
        Value::Array(_) | Value::Object(_) if levels == 0 => Value::Null,
        Value::Array(items) => items.into_iter().map(|item| json(item, levels - 1)).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (if name.contains('\0') { without_nul(&name) } else { name }, json(value, levels - 1)))
            .collect(),
        other => other,
    }
}

/// A time that Postgres and every client can read: years 1 to 9999.
#[must_use]
pub fn time(at: DateTime<Utc>) -> DateTime<Utc> {
    const FIRST: i64 = -62_135_596_800;
    const LAST: i64 = 253_402_300_799;
    let bound = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or(at);
    at.clamp(bound(FIRST), bound(LAST))
}

/// The first `most` characters.
fn cut(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
}

fn id_of(id: &str) -> String {
    if id.len() <= ID_BYTES && !id.contains('\0') {
        return id.to_owned();
    }
    hashed(&without_nul(id), id, ID_BYTES)
}

/// The beginning of `shown` and a hash of `original`, in at most `most` bytes.
#[must_use]
pub fn hashed(shown: &str, original: &str, most: usize) -> String {
    let mut end = shown.len().min(most.saturating_sub(HASH_DIGITS + 1));
    while !shown.is_char_boundary(end) {
        end -= 1;
    }
    let hash = hex::encode(Sha256::digest(original));
    format!("{}~{}", &shown[..end], &hash[..HASH_DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn r10_ids_in_use_are_stored_unchanged() {
        for id in ["3EB0C767D097B7C7A1", "15550001@s.whatsapp.net", "120363021033254949@g.us", ""] {
            assert_eq!(Storable::id(id).as_str(), id);
        }
    }

    #[test]
    fn r10_long_ids_and_ids_with_nul_stay_apart() {
        let long = |last: &str| format!("{}{last}", "x".repeat(3000));
        let stored: Vec<_> = [&*long("a"), &*long("b"), "A\0B", "A\u{fffd}B"].map(Storable::id).into();
        for (one, other) in [(0, 1), (2, 3)] {
            assert_ne!(stored[one], stored[other]);
        }
        assert_eq!(stored[0], Storable::id(&long("a")));
        assert!(stored[2].as_str().starts_with("A\u{fffd}B~"), "{}", stored[2]);
        assert_eq!(stored[0].as_str().len(), ID_BYTES);
    }

    #[test]
    fn r10_json_that_is_too_deep_to_be_read_is_cut() {
        let nested = |levels| {
            (0..levels)
                .fold(json!(1), |inner, level| if level % 3 == 0 { json!([inner]) } else { json!({ "a": inner }) })
        };
        assert_eq!(StorableJson::new(nested(JSON_LEVELS)).value(), &nested(JSON_LEVELS));
        let stored = StorableJson::new(nested(1000)).value().to_string();
        assert!(stored.contains("null") && serde_json::from_str::<Value>(&stored).is_ok(), "{stored}");
    }

    #[test]
    fn r10_errors_and_names_are_cut_between_characters() {
        let error = Storable::error(&"ä\0".repeat(ERROR_CHARACTERS));
        assert_eq!(error.as_str().chars().count(), ERROR_CHARACTERS);
        assert!(error.as_str().ends_with('…'));
        assert_eq!(Storable::error("refused").as_str(), "refused");
        assert_eq!(Storable::name(&"ä".repeat(2000)).as_str().chars().count(), NAME_CHARACTERS);
    }

    #[test]
    fn r10_json_keeps_its_shape_without_nul() {
        let value = StorableJson::new(json!({ "a\0": ["b\0", 1, null], "c": { "d": "e" } }));
        assert_eq!(*value.value(), json!({ "a\u{fffd}": ["b\u{fffd}", 1, null], "c": { "d": "e" } }));
    }

    proptest! {
        #[test]
        fn r10_no_text_passes_the_gate_with_a_nul_or_too_long(text in "(.|\0){0,400}") {
            let id = Storable::id(&text);
            prop_assert!(id.as_str().len() <= ID_BYTES && !id.as_str().contains('\0'));
            prop_assert_eq!(&id, &Storable::id(&text));
            prop_assert!(!Storable::text(&text).as_str().contains('\0'));
        }
    }
}

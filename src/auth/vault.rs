//! Encryption at rest (A6): bytes inside values are sealed in place.
//!
//! `{"type":"Buffer","data":…}` becomes `{"type":"Sealed","key":"<key id>","data":"<base64>"}`; the data is a nonce of
//! 24 bytes and the ciphertext of XChaCha20-Poly1305. It is bound to its place, which is the session, the kind, the
//! key's id and the path within the value: moved elsewhere it does not open. Every key, secret and message is bytes.
//! Names, JIDs, phone numbers, counts and times stay readable, because the database searches for them. Empty bytes stay
//! as they are: there is nothing to hide, and the database asks whether they are empty.
//!
//! Plain and sealed values may be mixed; each is read as what it is, and written with the key in force.

use super::codec;
use super::kind::Kind;
use super::random;
use crate::config::{EncryptionConfig, KeySource};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;

/// Bytes of a key.
pub const KEY_LENGTH: usize = 32;
const NONCE: usize = 24;
const SEALED: &str = "Sealed";
/// How long a command may take to print a key.
const PATIENCE: Duration = Duration::from_secs(30);
const ACCEPTED: &str = "32 bytes, as base64 or as 64 hexadecimal digits; wagres auth new-key prints one";

/// The keys that values are sealed and opened with.
#[derive(Clone, Default)]
pub struct Vault {
    current: Option<String>,
    keys: BTreeMap<String, XChaCha20Poly1305>,
}

/// Why there is no vault.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The key in force is not among the given keys.
    #[error("encryption.key: {0:?} is none of encryption.keys; accepted is the id of one of them")]
    NoSuchKey(String),
    /// The id has a wrong length or a wrong character.
    #[error("encryption.keys: {0:?} is not accepted as an id; accepted are 1 to 64 letters, digits, dots, - and _")]
    Id(String),
    /// The key has no source, or several.
    #[error("encryption.keys.{0}: accepted is one of file, env and command")]
    Source(String),
    /// The source could not be read.
    #[error("encryption.keys.{id}: {place}: {problem}")]
    Unavailable {
        /// The key's id.
        id: String,
        /// The file, variable or program.
        place: String,
        /// The problem, without the content of the place.
        problem: String,
    },
    /// The source holds no key.
    #[error("encryption.keys.{id}: {place} holds something else; accepted are {ACCEPTED}")]
    NoKey {
        /// The key's id.
        id: String,
        /// The file, variable or program.
        place: String,
    },
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Sealed with a key that is not configured.
    #[error("sealed with the key {0:?}, which is none of encryption.keys")]
    NoSuchKey(String),
    /// Sealed with another key of that id, or damaged, or moved from elsewhere.
    #[error(
        "sealed with the key {0:?}; the configured key of that id does not open it: the key differs, or the value was \
         changed or moved"
    )]
    Refused(String),
    /// The cipher takes no more than 256 GiB.
    #[error("too large to be sealed")]
    TooLarge,
    /// The value does not have the shape of a sealed one.
    #[error("damaged: accepted is {{\"type\":\"Sealed\",\"key\":\"<key id>\",\"data\":\"<base64>\"}}")]
    Damaged,
}

/// The place that a value is sealed for; it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct SealPlace<'a> {
    /// The session; of a secret of a webhook the webhook.
    pub session_id: i64,
    /// A kind of `wa.auth_key`, or [`SealPlace::CREDS`].
    pub kind: &'a str,
    /// `wa.auth_key.key_id`, empty for credentials.
    pub key_id: &'a str,
}

impl<'a> SealPlace<'a> {
    /// The kind that stands for the credentials of `wa.auth`.
    pub const CREDS: &'static str = "creds";

    /// The kind that stands for the address of a proxy in `wa.proxy`.
    pub const PROXY: &'static str = "proxy";

    /// One key.
    #[must_use]
    pub const fn key(session_id: i64, kind: Kind, key_id: &'a str) -> Self {
        Self { session_id, kind: kind.name(), key_id }
    }

    /// The credentials of a session.
    #[must_use]
    pub const fn creds(session_id: i64) -> Self {
        Self { session_id, kind: Self::CREDS, key_id: "" }
    }

    /// The address of a session's proxy.
    #[must_use]
    pub const fn proxy(session_id: i64) -> Self {
        Self { session_id, kind: Self::PROXY, key_id: "" }
    }

    /// The kind that stands for the secrets of a webhook in `wa.webhook_secret`.
    pub const WEBHOOK: &'static str = "webhook";

    /// A secret of a webhook; `secret_id` in digits.
    #[must_use]
    pub const fn webhook(webhook_id: i64, secret_id: &'a str) -> Self {
        Self { session_id: webhook_id, kind: Self::WEBHOOK, key_id: secret_id }
    }

    /// The kind that stands for the API keys in `wa.partner_key`.
    pub const PARTNER: &'static str = "partner";

    /// An API key that a callback carries to the partner.
    #[must_use]
    pub const fn partner(call_id: i64) -> Self {
        Self { session_id: call_id, kind: Self::PARTNER, key_id: "" }
    }

    /// The associated data of the cipher; lengths separate the parts.
    fn bound(&self) -> Vec<u8> {
        let mut bound = b"wagres 1".to_vec();
        bound.extend(self.session_id.to_be_bytes());
        step(&mut bound, self.kind);
        step(&mut bound, self.key_id);
        bound
    }
}

fn step(bound: &mut Vec<u8>, name: &str) {
    bound.extend((name.len() as u64).to_be_bytes());
    bound.extend(name.as_bytes());
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("current", &self.current).field("keys", &self.keys.keys()).finish()
    }
}

impl Vault {
    /// Fetches the keys from their configured sources.
    ///
    /// # Errors
    /// Names the setting; see [`VaultError`].
    pub async fn open(config: &EncryptionConfig) -> Result<Self, VaultError> {
        let mut vault = Self::default();
        for (id, source) in &config.keys {
            let key = fetch(id, source).await?;
            vault = vault.with_key(id, &key)?;
        }
        match &config.key {
            Some(id) => vault.writing_with(id),
            None => Ok(vault),
        }
    }

    /// Adds a key.
    ///
    /// # Errors
    /// [`VaultError::Id`].
    pub fn with_key(mut self, id: &str, key: &[u8; KEY_LENGTH]) -> Result<Self, VaultError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if !(1..=64).contains(&id.len()) || !id.chars().all(fits) {
            return Err(VaultError::Id(id.into()));
        }
        self.keys.insert(id.into(), XChaCha20Poly1305::new(key.into()));
        Ok(self)
    }

    /// Sets the key in force.
    ///
    /// # Errors
    /// [`VaultError::NoSuchKey`].
    pub fn writing_with(mut self, id: &str) -> Result<Self, VaultError> {
        if !self.keys.contains_key(id) {
            return Err(VaultError::NoSuchKey(id.into()));
        }
        self.current = Some(id.into());
        Ok(self)
    }

    /// The id of the key in force; without one, values are written in the clear.
    #[must_use]
    pub fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    /// Whether no keys are given: nothing can be sealed or opened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether this key is among the given ones.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.keys.contains_key(id)
    }

    /// Seals the bytes in a value with the key in force.
    ///
    /// # Errors
    /// [`SealError::TooLarge`].
    pub fn seal(&self, place: SealPlace<'_>, value: Value) -> Result<Value, SealError> {
        let Some((id, cipher)) = self.current.as_ref().and_then(|id| Some((id, self.keys.get(id)?))) else {
            return Ok(value);
        };
        let seal = |bound: &[u8], value: Value| {
            let Some(bytes) = codec::revive(&value).filter(|bytes| !bytes.is_empty()) else { return Ok(value) };
            let mut data = vec![0; NONCE];
            random::fill(&mut data);
            let nonce = XNonce::try_from(&data[..]).map_err(|_| SealError::Damaged)?;
            let sealed =
                cipher.encrypt(&nonce, Payload { msg: &bytes, aad: bound }).map_err(|_| SealError::TooLarge)?;
            data.extend(sealed);
            Ok(json!({"type": SEALED, "key": id, "data": codec::base64(&data)}))
        };
        walk(&mut place.bound(), value, &seal)
    }

    /// Opens the sealed bytes in a value.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn unseal(&self, place: SealPlace<'_>, value: Value) -> Result<Value, SealError> {
        if !is_sealed(&value) {
            return Ok(value);
        }
        let open = |bound: &[u8], value: Value| {
            let Some((id, data)) = sealed(&value)? else { return Ok(value) };
            let cipher = self.keys.get(id).ok_or_else(|| SealError::NoSuchKey(id.to_owned()))?;
            let data = codec::from_base64(data).filter(|data| data.len() > NONCE).ok_or(SealError::Damaged)?;
            let nonce = XNonce::try_from(&data[..NONCE]).map_err(|_| SealError::Damaged)?;
            let bytes = cipher.decrypt(&nonce, Payload { msg: &data[NONCE..], aad: bound });
            Ok(codec::buffer(&bytes.map_err(|_| SealError::Refused(id.to_owned()))?))
        };
        walk(&mut place.bound(), value, &open)
    }

    /// The value as it would be written now, or `None` when it already is.
    ///
    /// # Errors
    /// When the value is sealed and does not open.
    pub fn reseal(&self, place: SealPlace<'_>, value: Value) -> Result<Option<Value>, SealError> {
        if self.is_current(&value) {
            return Ok(None);
        }
        self.seal(place, codec::canonical(self.unseal(place, value)?)).map(Some)
    }

    /// Whether all bytes in a value are sealed with the key in force, or none when there is none.
    fn is_current(&self, value: &Value) -> bool {
        match value {
            Value::Object(map) => match sealed(value) {
                Ok(Some((id, _))) => self.current() == Some(id),
                Err(_) => false,
                Ok(None) => match codec::revive(value) {
                    Some(bytes) => self.current.is_none() || bytes.is_empty(),
                    None => map.values().all(|item| self.is_current(item)),
                },
            },
            Value::Array(items) => items.iter().all(|item| self.is_current(item)),
            _ => true,
        }
    }
}

/// The key's id and the data of a sealed value; `None` for any other value.
fn sealed(value: &Value) -> Result<Option<(&str, &str)>, SealError> {
    let Some(map) = value.as_object().filter(|map| map.get("type").and_then(Value::as_str) == Some(SEALED)) else {
        return Ok(None);
    };
    let text = |name: &str| map.get(name).and_then(Value::as_str).ok_or(SealError::Damaged);
    Ok(Some((text("key")?, text("data")?)))
}

/// Whether anything in a value is sealed.
pub(super) fn is_sealed(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.get("type").and_then(Value::as_str) == Some(SEALED) || map.values().any(is_sealed),
        Value::Array(items) => items.iter().any(is_sealed),
        _ => false,
    }
}

/// Applies `change` to plain and sealed bytes, and descends into everything else; `bound` is the place of each.
fn walk<F>(bound: &mut Vec<u8>, value: Value, change: &F) -> Result<Value, SealError>
where
    F: Fn(&[u8], Value) -> Result<Value, SealError>,
{
    let begin = bound.len();
    let mut into = |name: Cow<'_, str>, item: Value| {
        step(bound, &name);
        let item = walk(bound, item, change);
        bound.truncate(begin);
        item
    };
    match value {
        Value::Array(items) => {
            let items = items.into_iter().enumerate();
            Ok(Value::Array(items.map(|(at, item)| into(at.to_string().into(), item)).collect::<Result<_, _>>()?))
        }
        Value::Object(map) => {
            let is_leaf =
                |value: &Value| matches!(sealed(value), Ok(Some(_)) | Err(_)) || codec::revive(value).is_some();
            let value = Value::Object(map);
            if is_leaf(&value) {
                return change(bound, value);
            }
            let Value::Object(map) = value else { return Ok(value) };
            let items = map.into_iter().map(|(name, item)| Ok((name.clone(), into(name.into(), item)?)));
            Ok(Value::Object(items.collect::<Result<Map<_, _>, SealError>>()?))
        }
        other => Ok(other),
    }
}

/// Reads a key from base64 or from 64 hexadecimal digits.
#[must_use]
pub fn key_from_text(text: &str) -> Option<[u8; KEY_LENGTH]> {
    let text = text.trim();
    let bytes = if text.len() == 2 * KEY_LENGTH { hex::decode(text).ok() } else { codec::from_base64(text) };
    bytes?.try_into().ok()
}

async fn fetch(id: &str, source: &KeySource) -> Result<[u8; KEY_LENGTH], VaultError> {
    let unavailable =
        |place: &str, problem: String| VaultError::Unavailable { id: id.into(), place: place.into(), problem };
    let (place, text) = match source {
        KeySource { file: Some(file), env: None, command: None } => {
            let place = PathBuf::from(file).display().to_string();
            let text = tokio::fs::read_to_string(file).await.map_err(|error| unavailable(&place, error.to_string()))?;
            (place, text)
        }
        KeySource { file: None, env: Some(name), command: None } => {
            let text = std::env::var(name).map_err(|error| unavailable(name, error.to_string()))?;
            (name.clone(), text)
        }
        KeySource { file: None, env: None, command: Some(line) } => {
            let [program, arguments @ ..] = &line[..] else { return Err(VaultError::Source(id.into())) };
            let run = Command::new(program).args(arguments).kill_on_drop(true).output();
            let output = tokio::time::timeout(PATIENCE, run)
                .await
                .map_err(|_| unavailable(program, format!("no answer within {} s", PATIENCE.as_secs())))?
                .map_err(|error| unavailable(program, error.to_string()))?;
            if !output.status.success() {
                return Err(unavailable(program, output.status.to_string()));
            }
            let text = String::from_utf8(output.stdout);
            (program.clone(), text.map_err(|_| VaultError::NoKey { id: id.into(), place: program.clone() })?)
        }
        _ => return Err(VaultError::Source(id.into())),
    };
    key_from_text(&text).ok_or(VaultError::NoKey { id: id.into(), place })
}

#[cfg(test)]
mod tests;

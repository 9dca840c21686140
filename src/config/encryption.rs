//! Encryption of credentials and keys in the database (`[encryption]`, `WAGRES_ENCRYPTION__…`).
//!
//! The vault (`src/auth/vault.rs`) checks these settings when it reads the keys.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Encryption of credentials and keys in the database.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncryptionConfig {
    /// Id of the key that encrypts new values. Without it values are written unencrypted.
    pub key: Option<String>,
    /// All keys by their ids, including those that only decrypt earlier values.
    pub keys: BTreeMap<String, KeySource>,
}

/// Source of a key: exactly one of these. A key is 32 bytes, as base64 or as 64 hexadecimal digits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeySource {
    /// A file that holds the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// An environment variable that holds the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// A program and its arguments. It must print the key within 30 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

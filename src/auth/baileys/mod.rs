//! Auth state of Baileys, the JavaScript client: a linked device moves without a new scan (A5).
//!
//! [`folder`] and [`tables`] read it where Baileys keeps it, [`convert()`] turns it into rows, [`import`] writes them;
//! [`export()`] is the way back. A key that cannot be converted is counted with its reason and quarantined unchanged;
//! only credentials must be readable.

mod convert;
mod export;
pub mod folder;
#[cfg(any(test, feature = "sandbox"))]
pub(in crate::auth) mod fuzzing;
pub mod import;
mod memory;
mod sender_key;
mod session;
pub mod tables;

pub use convert::{Converted, convert};
pub use export::{Exported, export};

use super::codec::DecodeError;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use wacore::libsignal::protocol::LegacySessionInteropError;

/// Why a value could not be converted. Never holds or shows the value: it may be a key.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The value is in no known shape.
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
    /// The value can be read, but is not a state of the protocol.
    #[error("the client library: {0}")]
    Library(String),
    /// The id does not have the form of its kind.
    #[error("id: found another text, accepted is {0}")]
    Id(&'static str),
}

impl From<LegacySessionInteropError> for Problem {
    fn from(error: LegacySessionInteropError) -> Self {
        Self::Library(error.to_string())
    }
}

/// One key as Baileys names it.
#[derive(Clone)]
pub struct Entry {
    /// `pre-key`, `session`, `sender-key` …
    pub kind: String,
    /// The id within the kind.
    pub id: String,
    /// The value, unconverted.
    pub value: Value,
}

/// A file of a key that is not JSON.
#[derive(Clone)]
pub struct UnreadableFile {
    /// Its name.
    pub name: String,
    /// Does not repeat the content.
    pub reason: String,
    /// The key that the name stands for, with the content as its value; `None` when nothing could be read.
    pub entry: Option<Entry>,
}

/// The auth state of one device as it was read.
#[derive(Clone, Default)]
pub struct BaileysState {
    /// `None`: there were none.
    pub creds: Option<Value>,
    /// Keys, as read.
    pub entries: Vec<Entry>,
    /// Files of keys that are not JSON.
    pub unreadable: Vec<UnreadableFile>,
    /// Names of files or rows that do not belong to an auth state.
    pub foreign: Vec<String>,
}

/// The outcome for the keys of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How many were converted.
    pub converted: u64,
    /// How many are not needed, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped: BTreeMap<String, u64>,
    /// Reasons of those that could not be converted, by id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<String, String>,
}

/// The outcome by Baileys' name of the kind.
pub type Report = BTreeMap<String, Count>;

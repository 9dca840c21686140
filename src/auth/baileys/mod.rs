//! Auth state of Baileys, the JavaScript client, as ours: a linked device moves without a new scan (A5).
//!
//! [`folder`] and [`tables`] read it from where Baileys keeps it, [`convert()`] makes rows of it, [`import`] writes them;
//! [`export()`] is the way back.
//! What cannot be converted is counted with its reason and kept as it was; only credentials must be readable.

mod convert;
mod export;
pub mod folder;
#[cfg(any(test, feature = "sandbox"))]
pub(in crate::auth) mod fuzzing;
pub mod import;
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
    /// It is in no shape that is understood.
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
    /// It can be read, and is no state that the protocol knows.
    #[error("the client library: {0}")]
    Library(String),
    /// Its id says nothing.
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
    /// Which one of its kind.
    pub id: String,
    /// As it was found.
    pub value: Value,
}

/// What was found of one device.
#[derive(Clone, Default)]
pub struct Found {
    /// The credentials, if there were any.
    pub creds: Option<Value>,
    /// The keys.
    pub entries: Vec<Entry>,
    /// What was there and could not even be read as JSON, by its name, with the reason.
    pub unreadable: Vec<(String, String)>,
    /// Names of what does not belong to an auth state.
    pub foreign: Vec<String>,
}

/// What became of the keys of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Keys that are ours now.
    pub converted: u64,
    /// Keys that need not come along, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped: BTreeMap<String, u64>,
    /// Keys that could not be converted, by id, with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<String, String>,
}

/// What became of everything, by Baileys' name of the kind.
pub type Report = BTreeMap<String, Count>;

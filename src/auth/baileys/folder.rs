//! The folder of Baileys' `useMultiFileAuthState`: `creds.json` and a file for each key.

use super::{BaileysState, Entry, UnreadableFile};
use crate::auth::codec;
use serde_json::Value;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The kinds that begin the names of files; a kind comes before its own prefixes.
const KINDS: [&str; 10] = [
    "app-state-sync-version",
    "app-state-sync-key",
    "sender-key-memory",
    "identity-key",
    "device-list",
    "lid-mapping",
    "sender-key",
    "pre-key",
    "session",
    "tctoken",
];

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The folder or the credentials cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The folder or `creds.json`.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The credentials are not JSON. Without them there is no device.
    #[error(
        "{path}: {reason}; accepted is creds.json as Baileys writes it, whole. A program that is killed while it writes \
         leaves a part: take the file from a backup of the folder, or link the device again"
    )]
    Creds {
        /// `creds.json`.
        path: PathBuf,
        /// The place, and what is wrong there.
        reason: String,
    },
}

/// Reads a folder. Calls `progress` after each file. The file of a key that is not JSON is listed: Baileys writes its
/// files in place, so a crash leaves truncated ones.
///
/// # Errors
/// When the folder or its credentials cannot be read.
pub fn read(folder: &Path, mut progress: impl FnMut()) -> Result<BaileysState, ReadError> {
    let mut found = BaileysState::default();
    let files = std::fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut files = files.map_err(|source| ReadError::Io { path: folder.into(), source })?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files {
        let path = file.path();
        let name = file.file_name().to_string_lossy().into_owned();
        let stem = (path.extension() == Some(OsStr::new("json"))).then(|| name.trim_end_matches(".json"));
        if stem == Some("creds") {
            let content = content(&path).map_err(|source| ReadError::Io { path: path.clone(), source })?;
            let value = serde_json::from_slice(&content);
            found.creds = Some(value.map_err(|error| ReadError::Creds { path, reason: problem(&content, &error) })?);
        } else if let Some((kind, id)) = stem.and_then(key) {
            let entry = |value| Entry { kind: kind.into(), id, value };
            match content(&path) {
                Ok(content) => match serde_json::from_slice::<Value>(&content) {
                    Ok(value) => found.entries.push(entry(value)),
                    Err(error) => {
                        let (reason, entry) = (problem(&content, &error), Some(entry(codec::buffer(&content))));
                        found.unreadable.push(UnreadableFile { name, reason, entry });
                    }
                },
                Err(error) => found.unreadable.push(UnreadableFile { name, reason: error.to_string(), entry: None }),
            }
        } else {
            found.foreign.push(name);
        }
        progress();
    }
    Ok(found)
}

/// The content of a file, and not of a pipe, which would never end.
fn content(path: &Path) -> io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.is_file() { std::fs::read(path) } else { Err(io::Error::other("not a file")) }
}

/// Where a file stops being JSON, and why.
fn problem(content: &[u8], error: &serde_json::Error) -> String {
    let text = error.to_string();
    // Errors of syntax have fixed texts. Others may repeat the value.
    let why = match error.classify() {
        _ if content.trim_ascii().is_empty() => "the file is empty",
        serde_json::error::Category::Eof => "the file ends in the middle",
        serde_json::error::Category::Syntax => text.split(" at line ").next().unwrap_or_default(),
        _ => "another value than expected",
    };
    format!("not JSON at line {}, column {}: {why}", error.line(), error.column())
}

/// Writes a folder as Baileys reads it. Calls `progress` after each file.
///
/// # Errors
/// When the folder exists and is not empty, or a file cannot be written.
pub fn write(folder: &Path, creds: &Value, entries: &[Entry], mut progress: impl FnMut()) -> io::Result<()> {
    match std::fs::read_dir(folder) {
        Ok(mut files) => {
            if files.next().is_some() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the folder is not empty"));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Err(error) => return Err(error),
    }
    let put = |name: String, value: &Value| {
        let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(folder.join(name))?;
        io::Write::write_all(&mut file, value.to_string().as_bytes())
    };
    for Entry { kind, id, value } in entries {
        put(format!("{kind}-{}.json", id.replace('/', "__").replace(':', "-")), value)?;
        progress();
    }
    // Last, so that a folder with credentials is a whole one.
    put("creds.json".into(), creds)
}

/// The kind and id in a file's name, in which `/` became `__` and `:` became `-`.
pub(super) fn key(stem: &str) -> Option<(&'static str, String)> {
    let (kind, rest) = KINDS.iter().find_map(|kind| Some((*kind, stem.strip_prefix(kind)?.strip_prefix('-')?)))?;
    let id = match kind {
        // The name of the tokens' list begins with the text that replaces a slash elsewhere.
        "tctoken" if rest == "__index" => rest.to_owned(),
        "sender-key" => rest.replace("--", "::"),
        _ => rest.replace("__", "/"),
    };
    Some((kind, id))
}

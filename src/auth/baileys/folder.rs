//! The folder of Baileys' `useMultiFileAuthState`: `creds.json` and a file for each key.

use super::{BaileysState, Entry};
use serde_json::Value;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

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

/// Reads a folder. Calls `progress` after each file. A file that is not JSON is listed by its name: Baileys writes its
/// files in place, so a crash leaves truncated ones.
///
/// # Errors
/// When the folder or a file of it cannot be read at all.
pub fn read(folder: &Path, mut progress: impl FnMut()) -> io::Result<BaileysState> {
    let mut found = BaileysState::default();
    let mut files = std::fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files {
        let path = file.path();
        let name = file.file_name().to_string_lossy().into_owned();
        let stem =
            (path.extension() == Some(OsStr::new("json")) && path.is_file()).then(|| name.trim_end_matches(".json"));
        let named = stem.and_then(|stem| if stem == "creds" { Some(("creds", String::new())) } else { key(stem) });
        match named {
            None => found.foreign.push(name),
            Some((kind, id)) => match serde_json::from_slice::<Value>(&std::fs::read(&path)?) {
                Ok(value) if kind == "creds" => found.creds = Some(value),
                Ok(value) => found.entries.push(Entry { kind: kind.into(), id, value }),
                // The error's text may repeat the value; its position does not.
                Err(error) => found
                    .unreadable
                    .push((name, format!("not JSON from line {}, column {}", error.line(), error.column()))),
            },
        }
        progress();
    }
    Ok(found)
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

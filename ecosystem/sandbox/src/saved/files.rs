//! The media of a sandbox: files in a folder beside the state file, each named by its SHA-256.
//!
//! Inside the state file they would be written again each second. Each is therefore written once, before the first
//! state file that names it, and removed after the first that does not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::Digest as _;

use super::{Blob, StateError, replace};

type Hash = [u8; 32];

/// File contents by their hash.
#[derive(Default)]
pub(in super::super) struct Files(BTreeMap<Hash, Bytes>);

fn folder(state_file: &Path) -> PathBuf {
    let mut name = state_file.as_os_str().to_owned();
    name.push(".media");
    name.into()
}

impl Files {
    /// Adds a file; returns the hash that finds it again.
    pub(in super::super) fn add(&mut self, hash: Hash, bytes: &Bytes) -> Blob {
        self.0.insert(hash, bytes.clone());
        Blob(hash.to_vec())
    }

    pub(in super::super) fn find(&self, hash: &Blob) -> Result<(Hash, Bytes), StateError> {
        let found = self.0.get_key_value(hash.0.as_slice());
        found.map(|(hash, bytes)| (*hash, bytes.clone())).ok_or_else(|| StateError::Media(hex::encode(&hash.0)))
    }

    /// Reads the whole folder. A file that does not match its name is left out; whoever needs it reports it as missing.
    pub(super) fn read(state_file: &Path) -> std::io::Result<Self> {
        let mut files = Self::default();
        for entry in entries(&folder(state_file))? {
            let bytes = std::fs::read(&entry)?;
            let hash: Hash = sha2::Sha256::digest(&bytes).into();
            if entry.file_name().is_some_and(|name| name == hex::encode(hash).as_str()) {
                files.0.insert(hash, bytes.into());
            }
        }
        Ok(files)
    }

    /// Writes the files that are not in `there` yet.
    pub(super) fn write(&self, state_file: &Path, there: &mut BTreeSet<Hash>) -> std::io::Result<()> {
        let folder = folder(state_file);
        for (hash, bytes) in self.0.iter().filter(|(hash, _)| !there.contains(*hash)).collect::<Vec<_>>() {
            std::fs::create_dir_all(&folder)?;
            replace(&folder.join(hex::encode(hash)), bytes)?;
            there.insert(*hash);
        }
        Ok(())
    }

    /// Removes the files that the state file no longer names.
    pub(super) fn tidy(&self, state_file: &Path, there: &mut BTreeSet<Hash>) -> std::io::Result<()> {
        let gone: Vec<Hash> = there.iter().filter(|hash| !self.0.contains_key(*hash)).copied().collect();
        for hash in gone {
            there.remove(&hash);
            std::fs::remove_file(folder(state_file).join(hex::encode(hash)))?;
        }
        Ok(())
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(super) fn hashes(&self) -> BTreeSet<Hash> {
        self.0.keys().copied().collect()
    }
}

fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(error),
    }
}

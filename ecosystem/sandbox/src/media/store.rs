//! The files, by direct path, and the partial files of broken uploads.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::super::node::unix_now;
use super::super::saved::{Blob, Files as Kept, StateError};
use super::PICTURES;

/// The SHA-256 of a file as stored, that is, encrypted.
pub(super) type Hash = [u8; 32];

/// The file does not fit within the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sandbox stores at most {limit} bytes of media, and {more} more do not fit")]
pub(in super::super) struct StorageFull {
    limit: usize,
    more: usize,
}

/// Why there is no file at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum Missing {
    #[error("no file was ever stored at this path")]
    Never,
    #[error("the file at this path was deleted")]
    Gone,
}

/// How much of a file the server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// The whole file, at this direct path.
    Complete(String),
    /// The first bytes; how many.
    Partial(usize),
}

#[derive(Default)]
struct Files {
    /// By path without its query string.
    whole: HashMap<String, (Hash, Bytes)>,
    /// The newest direct path for each hash.
    paths: HashMap<Hash, String>,
    /// The partial files of broken uploads.
    partial: HashMap<Hash, Vec<u8>>,
    gone: HashSet<String>,
    /// Bytes of whole and partial files, and of running uploads.
    used: usize,
}

pub(super) struct Store {
    files: Mutex<Files>,
    limit: usize,
}

/// The store in the state file; the file contents are in files beside it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedStore {
    whole: BTreeMap<String, Blob>,
    paths: BTreeSet<String>,
    gone: BTreeSet<String>,
}

impl Store {
    /// Partial uploads are not kept: their clients start again.
    pub(super) fn save(&self, kept: &mut Kept) -> SavedStore {
        let files = self.files();
        SavedStore {
            whole: files.whole.iter().map(|(path, (hash, bytes))| (path.clone(), kept.add(*hash, bytes))).collect(),
            paths: files.paths.values().cloned().collect(),
            gone: files.gone.iter().cloned().collect(),
        }
    }

    pub(super) fn restore(limit: usize, saved: SavedStore, kept: &Kept) -> Result<Self, StateError> {
        let mut files = Files { gone: saved.gone.into_iter().collect(), ..Files::default() };
        for (path, hash) in saved.whole {
            let (hash, bytes) = kept.find(&hash)?;
            files.used += bytes.len();
            files.whole.insert(path, (hash, bytes));
        }
        for direct_path in saved.paths {
            let hash = files.whole.get(path(&direct_path)).map(|(hash, _)| *hash);
            hash.and_then(|hash| files.paths.insert(hash, direct_path));
        }
        Ok(Self { files: Mutex::new(files), limit })
    }

    pub(super) fn new(limit: usize) -> Self {
        Self { files: Mutex::default(), limit }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, folder: &str, bytes: Bytes) -> Result<String, StorageFull> {
        self.reserve(bytes.len())?;
        Ok(self.keep(folder, sha2::Sha256::digest(&bytes).into(), bytes))
    }

    /// The file at a path, with or without its query string.
    pub(super) fn get(&self, direct_path: &str) -> Result<Bytes, Missing> {
        let (files, path) = (self.files(), path(direct_path));
        let found = files.whole.get(path).map(|(_, bytes)| bytes.clone());
        found.ok_or(if files.gone.contains(path) { Missing::Gone } else { Missing::Never })
    }

    pub(super) fn remove(&self, direct_path: &str) -> bool {
        let (mut files, path) = (self.files(), path(direct_path));
        let Some((hash, bytes)) = files.whole.remove(path) else { return false };
        files.used -= bytes.len();
        // The same file may have been uploaded again, to another path.
        if files.paths.get(&hash).is_some_and(|newest| self::path(newest) == path) {
            files.paths.remove(&hash);
        }
        files.gone.insert(path.to_owned());
        true
    }

    pub(super) fn progress(&self, hash: &Hash) -> Progress {
        let files = self.files();
        match files.paths.get(hash) {
            Some(path) => Progress::Complete(path.clone()),
            None => Progress::Partial(files.partial.get(hash).map_or(0, Vec::len)),
        }
    }

    /// Starts an upload after the first `offset` bytes. `None` when the server has fewer.
    pub(super) fn begin(&self, hash: Hash, offset: usize) -> Option<Incoming<'_>> {
        let mut files = self.files();
        let mut bytes = files.partial.remove(&hash).unwrap_or_default();
        if bytes.len() < offset {
            if !bytes.is_empty() {
                files.partial.insert(hash, bytes);
            }
            return None;
        }
        files.used -= bytes.len() - offset;
        bytes.truncate(offset);
        drop(files);
        Some(Incoming { store: self, hash, bytes })
    }

    pub(super) fn size_is_consistent(&self) -> bool {
        let files = self.files();
        let whole: usize = files.whole.values().map(|(_, bytes)| bytes.len()).sum();
        let partial: usize = files.partial.values().map(Vec::len).sum();
        files.used == whole + partial && files.used <= self.limit
    }

    fn reserve(&self, more: usize) -> Result<(), StorageFull> {
        let mut files = self.files();
        match files.used.checked_add(more).filter(|used| *used <= self.limit) {
            Some(used) => {
                files.used = used;
                Ok(())
            }
            None => Err(StorageFull { limit: self.limit, more }),
        }
    }

    /// Stores bytes whose room is already reserved.
    fn keep(&self, folder: &str, hash: Hash, bytes: Bytes) -> String {
        // The form of real paths: a random name, a signature, and the expiry in hexadecimal.
        let name: [u8; 16] = rand::random();
        let extension = if folder == PICTURES { "jpg" } else { "enc" };
        let path = format!("/v/{folder}/{}_n.{extension}", hex::encode(name));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 20]>());
        let until = unix_now() + 30 * 24 * 60 * 60;
        let direct_path = format!("{path}?ccb=11-4&oh={signature}&oe={until:X}&_nc_sid=5e03e0");
        let mut files = self.files();
        files.whole.insert(path, (hash, bytes));
        files.paths.insert(hash, direct_path.clone());
        direct_path
    }
}

/// A direct path without its parameters.
fn path(direct_path: &str) -> &str {
    direct_path.split_once('?').map_or(direct_path, |(path, _)| path)
}

/// A running upload. If it breaks off, the received bytes stay, so that the client can resume.
pub(super) struct Incoming<'a> {
    store: &'a Store,
    hash: Hash,
    bytes: Vec<u8>,
}

impl Incoming<'_> {
    pub(super) fn add(&mut self, more: &[u8]) -> Result<(), StorageFull> {
        self.store.reserve(more.len())?;
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    /// Finishes the upload. Returns the direct path if the hash is the announced one; otherwise the actual hash, and
    /// stores nothing.
    pub(super) fn finish(mut self, folder: &str) -> Result<String, Hash> {
        let bytes = std::mem::take(&mut self.bytes);
        let found: Hash = sha2::Sha256::digest(&bytes).into();
        if found == self.hash {
            return Ok(self.store.keep(folder, found, bytes.into()));
        }
        self.store.files().used -= bytes.len();
        Err(found)
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() {
            return;
        }
        let mut files = self.store.files();
        if let Some(former) = files.partial.insert(self.hash, bytes) {
            files.used -= former.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(bytes: &[u8]) -> Hash {
        sha2::Sha256::digest(bytes).into()
    }

    #[test]
    fn x1_a_broken_upload_is_resumed() -> Result<(), StorageFull> {
        let store = Store::new(100);
        let whole = b"0123456789";
        let mut first = store.begin(hash(whole), 0).expect("an upload can start at 0");
        first.add(&whole[..6])?;
        drop(first);
        assert_eq!(store.progress(&hash(whole)), Progress::Partial(6));
        assert!(store.begin(hash(whole), 7).is_none());
        let mut second = store.begin(hash(whole), 4).expect("the store has six bytes");
        second.add(&whole[4..])?;
        let path = second.finish("folder").expect("the hash matches");
        assert_eq!(store.get(&path).as_deref(), Ok(whole.as_slice()));
        assert_eq!(store.progress(&hash(whole)), Progress::Complete(path));
        assert_eq!(store.files().used, 10);
        Ok(())
    }

    #[test]
    fn x1_storage_is_bounded_and_removal_frees_room() -> Result<(), StorageFull> {
        let store = Store::new(10);
        let path = store.put("folder", Bytes::from_static(b"12345678"))?;
        assert_eq!(store.put("folder", Bytes::from_static(b"123")), Err(StorageFull { limit: 10, more: 3 }));
        let mut incoming = store.begin(hash(b"x"), 0).expect("an upload can start at 0");
        assert_eq!(incoming.add(b"123"), Err(StorageFull { limit: 10, more: 3 }));
        incoming.add(b"12")?;
        assert_eq!(incoming.finish("folder"), Err(hash(b"12")));
        assert!(store.remove(&path));
        assert!(!store.remove(&path));
        assert_eq!(store.get(&path), Err(Missing::Gone));
        assert_eq!(store.get("/v/folder/other"), Err(Missing::Never));
        assert_eq!(store.files().used, 0);
        Ok(())
    }
}

//! The media server: it stores encrypted files and profile pictures, and serves them over HTTP.
//!
//! What it promises: it accepts a file only whole, with a token of this server, and with the SHA-256 that the client
//! named. It serves the file byte for byte, in parts on request, until the file is deleted; then it answers 410. Anyone
//! who knows the path gets the file, as on the real server; the files are encrypted. One port serves HTTP and HTTPS,
//! because client libraries insist on `https://`; the root of its certificate is created at the first start.
//!
//! What it does not: it never sees a media key, creates no thumbnails, and keeps nothing over a restart without a state
//! file. `Options::media_limit` bounds the stored bytes; uploads beyond it get 507.

mod http;
mod range;
mod store;
mod tls;

use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use wacore::download::MediaType;

use super::SandboxError;
use super::account::DeviceId;
use super::node::unix_now;
use super::saved::{Files, StateError};
use store::{SavedStore, Store};
use tls::{Identity, SavedIdentity};

pub(super) use http::router;
pub(super) use http::serve;
pub(super) use store::{Missing, StorageFull};

/// How long, in seconds, a client may use the hosts of `media_conn`.
pub(super) const HOSTS_TTL: u64 = 300;
/// How long, in seconds, an upload token is valid.
pub(super) const AUTH_TTL: u64 = 21_600;

/// The upload paths, and the folder for the files of each.
const FOLDERS: &[(&str, &str)] = &[
    ("/mms/image", "t62.7118-24"),
    ("/mms/video", "t62.7161-24"),
    ("/mms/audio", "t62.7117-24"),
    ("/mms/document", "t62.7119-24"),
    ("/mms/md-msg-hist", "t62.36147-24"),
    ("/mms/md-app-state", "t62.36146-24"),
    ("/mms/sticker-pack", "t62.15575-24"),
    ("/mms/thumbnail-sticker-pack", "t62.15576-24"),
    ("/mms/thumbnail-link", "t62.36144-24"),
    ("/product/image", "t45.5328-4"),
];
/// The length of a token's signature in bytes.
const SIGNATURE: usize = 32;
/// The folder of profile pictures.
const PICTURES: &str = "t61.24694-24";

/// Counters of the media server.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct MediaCounters {
    /// Files accepted from clients.
    pub(super) uploads: u64,
    /// Uploads refused or broken off.
    pub(super) uploads_refused: u64,
    /// Files handed out, whole or in part.
    pub(super) downloads: u64,
    /// Downloads refused: deleted, never stored, or a range beyond the end.
    pub(super) downloads_refused: u64,
}

/// The stored files and the server's identity.
pub(super) struct Media {
    store: Store,
    identity: Identity,
    address: SocketAddr,
    /// Signs the upload tokens.
    secret: [u8; 32],
}

/// [`Media`] in the state file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedMedia {
    store: SavedStore,
    identity: SavedIdentity,
    secret: [u8; 32],
}

impl Media {
    /// Restores the media server at another address.
    pub(super) fn restore(
        address: SocketAddr,
        limit: usize,
        saved: SavedMedia,
        files: &Files,
    ) -> Result<Self, StateError> {
        let identity = Identity::restore(saved.identity).map_err(|error| StateError::Certificate(error.to_string()))?;
        Ok(Self { store: Store::restore(limit, saved.store, files)?, identity, address, secret: saved.secret })
    }

    pub(super) fn save(&self, files: &mut Files) -> SavedMedia {
        SavedMedia { store: self.store.save(files), identity: self.identity.save(), secret: self.secret }
    }

    /// A media server at `address` that stores at most `limit` bytes.
    pub(super) fn new(address: SocketAddr, limit: usize) -> Result<Self, SandboxError> {
        Ok(Self { store: Store::new(limit), identity: Identity::new()?, address, secret: rand::random() })
    }

    /// The host that clients are given, port included.
    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The root of the server's certificate, as PEM.
    pub(super) fn root_pem(&self) -> &str {
        &self.identity.root_pem
    }

    /// Stores a file; returns its direct path.
    pub(super) fn put(&self, kind: MediaType, bytes: Bytes) -> Result<String, StorageFull> {
        let folder = folder(kind.upload_path()).unwrap_or_default();
        self.store.put(folder, bytes)
    }

    /// Stores a profile picture, which is not encrypted; returns its direct path.
    pub(super) fn put_picture(&self, bytes: Bytes) -> Result<String, StorageFull> {
        self.store.put(PICTURES, bytes)
    }

    /// The file at a direct path.
    pub(super) fn get(&self, direct_path: &str) -> Result<Bytes, Missing> {
        self.store.get(direct_path)
    }

    /// Whether the counted bytes equal the size of the files; only valid while nobody uploads.
    pub(super) fn size_is_consistent(&self) -> bool {
        self.store.size_is_consistent()
    }

    /// Deletes a file, which gets 410 from then on. `false` when there was none.
    pub(super) fn remove(&self, direct_path: &str) -> bool {
        self.store.remove(direct_path)
    }

    /// The URL of a file, as messages carry it.
    pub(super) fn url(&self, direct_path: &str) -> String {
        format!("https://{}{direct_path}", self.address)
    }

    /// A new upload token for a device: our signature, the expiry, and the device.
    pub(super) fn token(&self, device: &DeviceId) -> String {
        let until = (unix_now() + AUTH_TTL).to_be_bytes();
        let says = [&until, device.device.to_be_bytes().as_slice(), device.number.as_bytes()].concat();
        BASE64_URL_SAFE_NO_PAD.encode([self.sign(&says).as_slice(), &says].concat())
    }

    /// The device of a token, if the token is ours and valid.
    fn holder(&self, token: &str) -> Option<DeviceId> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let (signature, says) = bytes.split_first_chunk::<SIGNATURE>()?;
        let (until, who) = says.split_first_chunk::<8>()?;
        let (device, number) = who.split_first_chunk::<2>()?;
        let good = *signature == self.sign(says) && u64::from_be_bytes(*until) >= unix_now();
        let number = String::from_utf8(number.to_vec()).ok().filter(|_| good)?;
        Some(DeviceId { number, device: u16::from_be_bytes(*device) })
    }

    fn sign(&self, says: &[u8]) -> [u8; SIGNATURE] {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(&self.secret) else { return [0; SIGNATURE] };
        mac.update(says);
        mac.finalize().into_bytes().into()
    }
}

/// The folder for files that are uploaded to a path.
fn folder(upload_path: &str) -> Option<&'static str> {
    FOLDERS.iter().find(|(path, _)| *path == upload_path).map(|(_, folder)| *folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_only_own_tokens_are_accepted() -> Result<(), SandboxError> {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let (media, other) = (Media::new(address, 10)?, Media::new(address, 10)?);
        let device = DeviceId { number: "15550001".into(), device: 3 };
        assert_eq!(media.holder(&media.token(&device)), Some(device.clone()));
        assert_eq!(other.holder(&media.token(&device)), None);
        let says = [1_u64.to_be_bytes().as_slice(), &[0, 3], device.number.as_bytes()].concat();
        let expired = [media.sign(&says).as_slice(), &says].concat();
        for bad in ["", "x", "AAAAAAAAAAA", &BASE64_URL_SAFE_NO_PAD.encode(expired)] {
            assert_eq!(media.holder(bad), None, "{bad:?} was accepted");
        }
        Ok(())
    }

    #[test]
    fn x1_every_kind_of_media_has_a_folder() {
        use MediaType as M;
        for kind in [M::Image, M::Video, M::Audio, M::Document, M::History, M::AppState, M::Sticker, M::StickerPack] {
            assert!(folder(kind.upload_path()).is_some(), "{kind:?}");
        }
        assert_eq!(folder("/mms/unheard-of"), None);
    }
}

//! The state file, which keeps a sandbox over its restarts.
//!
//! What it promises: the file holds accounts with their profiles and settings, linked devices with their keys and
//! queues, groups, app state, media, phones with their sessions and messages, and the sandbox's own keys. A change is
//! in the file after at most a second, and every change after an orderly shutdown. The file is replaced as a whole, so
//! that no reader sees half of one. A file of another program or version, or a damaged one, is refused and left as it
//! is.
//!
//! What it does not: the ledger, the counters, presence and faults start empty, and a receipt that a phone was about to
//! send is not sent. The file is written as a whole each time, for tests and demos and not for load.
//!
//! New state gets a field in one of these structs, with `#[serde(default)]`, so that existing files stay readable.

mod account;
mod app_state;
mod blob;
mod files;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::account::{Account, DeviceId};
use super::ca::{Authority, SavedAuthority};
use super::group::Group;
use super::media::{Media, SavedMedia};
use super::phone::{Phone, PhoneError};
use super::server::Server;
use super::{LOG, Options, SandboxError};
use account::SavedAccount;
pub(super) use blob::Blob;
pub(super) use files::Files;

/// How often changes are written.
const PACE: Duration = Duration::from_secs(1);
const FORMAT: &str = "wagres sandbox";
const VERSION: u32 = 1;

/// The start of every version of the file.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

/// The whole file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    format: String,
    version: u32,
    authority: SavedAuthority,
    /// The next number of [`Server::next`].
    sequence: u64,
    accounts: Vec<SavedAccount>,
    groups: BTreeMap<String, Group>,
    statuses: VecDeque<(DeviceId, String)>,
    media: SavedMedia,
}

/// Why the state could not be saved or restored.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    #[error("{0}")]
    File(#[from] std::io::Error),
    #[error("it is damaged, or not a state file: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it is not a sandbox's state file, but one of {0:?}")]
    Foreign(String),
    #[error("it has version {0}; this program reads version {VERSION}")]
    Version(u32),
    #[error("it is damaged: {0}")]
    Stanza(#[from] wacore_binary::BinaryError),
    #[error("it is damaged: {0}")]
    Key(#[from] wacore::libsignal::protocol::CurveError),
    #[error("it is damaged: {0}")]
    Signal(#[from] wacore::libsignal::protocol::SignalProtocolError),
    #[error("it is damaged: {0}")]
    Protobuf(#[from] buffa::DecodeError),
    #[error("it is damaged: the collection {0} is unknown or malformed")]
    Collection(String),
    #[error("the file {0} in the media folder is missing or damaged")]
    Media(String),
    #[error("it is damaged: {0}")]
    Certificate(String),
    #[error("it is damaged: {0} is not an address")]
    Address(String),
    #[error("{0}")]
    Phone(#[from] PhoneError),
}

/// The server of a state file; a new one when the file does not exist yet.
pub(super) async fn open(path: &Path, options: &Options, media: SocketAddr) -> Result<Arc<Server>, SandboxError> {
    let refused = |why: StateError| SandboxError::State { path: path.to_owned(), why: why.to_string() };
    let bytes = match tokio::fs::read(path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let media = Media::new(media, options.media_limit)?;
            return Ok(Server::new(options, Authority::new()?, media, 1));
        }
        Err(error) => return Err(refused(error.into())),
    };
    let files = Files::read(path).map_err(|error| refused(error.into()))?;
    read(&bytes, options, media, &files).map_err(refused)
}

/// The server of a state file's bytes.
pub(super) fn read(
    bytes: &[u8],
    options: &Options,
    media: SocketAddr,
    files: &Files,
) -> Result<Arc<Server>, StateError> {
    parse(bytes)?.restore(options, media, files)
}

fn parse(bytes: &[u8]) -> Result<Saved, StateError> {
    let head: Head = serde_json::from_slice(bytes)?;
    if head.format != FORMAT {
        return Err(StateError::Foreign(head.format));
    }
    if head.version != VERSION {
        return Err(StateError::Version(head.version));
    }
    Ok(serde_json::from_slice(bytes)?)
}

impl Saved {
    /// Restores a server and starts its phones.
    fn restore(self, options: &Options, media: SocketAddr, files: &Files) -> Result<Arc<Server>, StateError> {
        let media = Media::restore(media, options.media_limit, self.media, files)?;
        let server = Server::new(options, Authority::restore(&self.authority)?, media, self.sequence);
        {
            let mut state = server.state();
            (state.groups, state.statuses) = (self.groups, self.statuses);
        }
        for saved in self.accounts {
            // After an error, the phones that were already started must stop.
            let account = saved.restore(&server, files).inspect_err(|_| server.stop.cancel())?;
            let mut state = server.state();
            state.lids.insert(account.lid.clone(), account.number.clone());
            state.accounts.insert(account.number.clone(), account);
        }
        Ok(server)
    }
}

/// The present state. Each phone is asked first, and answers after its queued tasks.
pub(super) async fn collect(server: &Server) -> Result<(Vec<u8>, Files), StateError> {
    let phones: Vec<(String, Phone)> = {
        let state = server.state();
        state.accounts.values().map(|account: &Account| (account.number.clone(), account.phone.clone())).collect()
    };
    let (mut accounts, mut files) = (vec![], Files::default());
    for (number, phone) in phones {
        let mut phone = phone.save().await?;
        files.extend(std::mem::take(&mut phone.files));
        if let Some(account) = server.state().accounts.get(&number) {
            accounts.push(SavedAccount::of(account, phone)?);
        }
    }
    accounts.sort_by(|a, b| a.number.cmp(&b.number));
    let (groups, statuses) = {
        let state = server.state();
        (state.groups.clone(), state.statuses.clone())
    };
    let saved = Saved {
        format: FORMAT.to_owned(),
        version: VERSION,
        authority: server.authority.save(),
        sequence: server.sequence(),
        accounts,
        groups,
        statuses,
        media: server.media.save(&mut files),
    };
    Ok((serde_json::to_vec(&saved)?, files))
}

/// Writes the file when the state changes.
pub(super) struct StateWriter {
    path: PathBuf,
    written: tokio::sync::Mutex<Written>,
}

/// The state on disk.
#[derive(Clone, Default)]
struct Written {
    state: Vec<u8>,
    media: BTreeSet<[u8; 32]>,
}

impl StateWriter {
    /// Writes the file once, so that a file that cannot be written is an error at the start, and then after each change
    /// until the sandbox stops.
    pub(super) async fn start(server: &Arc<Server>, path: PathBuf) -> Result<Arc<Self>, SandboxError> {
        let refused = |why: StateError| SandboxError::State { path: path.clone(), why: why.to_string() };
        let media = Files::read(&path).map_err(|error| refused(error.into()))?.hashes();
        let written = Written { state: vec![], media };
        let keeper = Arc::new(Self { path: path.clone(), written: tokio::sync::Mutex::new(written) });
        keeper.write(server).await.inspect_err(|_| server.stop.cancel()).map_err(refused)?;
        server.spawn(Arc::clone(&keeper).run(Arc::clone(server)));
        Ok(keeper)
    }

    async fn run(self: Arc<Self>, server: Arc<Server>) {
        loop {
            tokio::time::sleep(PACE).await;
            self.keep(&server).await;
        }
    }

    /// Writes the file if the state has changed. Logs an error.
    pub(super) async fn keep(&self, server: &Server) {
        if let Err(error) = self.write(server).await {
            tracing::error!(target: LOG, path = %self.path.display(), %error, "cannot write the state file; retrying");
        }
    }

    async fn write(&self, server: &Server) -> Result<(), StateError> {
        let mut written = self.written.lock().await;
        let (state, files) = collect(server).await?;
        if state == written.state {
            return Ok(());
        }
        let (path, mut media) = (self.path.clone(), written.media.clone());
        // Disks are slow, and the phones share these threads.
        let writing = tokio::task::spawn_blocking(move || {
            files.write(&path, &mut media)?;
            replace(&path, &state)?;
            files.tidy(&path, &mut media)?;
            Ok::<_, std::io::Error>(Written { state, media })
        });
        *written = writing.await.map_err(std::io::Error::other)??;
        Ok(())
    }
}

/// Replaces a file as a whole, and syncs it to disk.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let mut file = std::fs::File::create(&name)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&name, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x2_a_bad_state_file_is_refused() {
        for (bytes, says) in [
            (&b"hello"[..], "not a state file"),
            (b"", "not a state file"),
            (br#"{"format":"other","version":1}"#, "other"),
            (br#"{"format":"wagres sandbox","version":2}"#, "version 2"),
            (br#"{"format":"wagres sandbox","version":1,"accounts":["#, "damaged"),
            (br#"{"format":"wagres sandbox","version":1}"#, "damaged"),
        ] {
            let error = parse(bytes).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(says), "{bytes:?}: {error}");
        }
    }
}

//! The data folder of `wagres up`: one process at a time works in it, it remembers ports over restarts, and other commands
//! find the running process by it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process works in the folder.
    #[error(
        "data_dir: {path} is in use by another wagres (process {pid}); stop that one first, or name another folder with \
         --data"
    )]
    Taken {
        /// The folder.
        path: PathBuf,
        /// The process, as it wrote its id.
        pid: String,
    },
    /// The folder cannot be created, or a file of it cannot be read or written.
    #[error("data_dir: {path}: {source}")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// What a running `wagres up` tells other commands in its data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningUp {
    /// Its process.
    pub pid: u32,
    /// Whether its database is the private server in the folder, which needs no password.
    pub private: bool,
    /// URLs of its database without passwords, the one on the socket first.
    pub database_urls: Vec<String>,
    /// The WhatsApp server that its worker connects to.
    pub whatsapp_url: String,
}

impl RunningUp {
    /// The `wagres up` that runs in this folder; `None` while none is ready.
    #[must_use]
    pub fn find(folder: &Path) -> Option<Self> {
        let found: Self = serde_json::from_slice(&std::fs::read(folder.join(RUNNING)).ok()?).ok()?;
        // A killed process leaves its file behind.
        Path::new("/proc").join(found.pid.to_string()).exists().then_some(found)
    }
}

/// The file of [`RunningUp`].
const RUNNING: &str = "running.json";

/// A data folder that this process alone works in. The system unlocks it when the process ends, however it ends.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// Locked until it is closed.
    _lock: File,
}

impl DataFolder {
    /// Creates the folder if there is none, and locks it.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn lock(path: &Path) -> Result<Self, FolderError> {
        let fail = |source| FolderError::Io { path: path.into(), source };
        std::fs::create_dir_all(path).map_err(fail)?;
        let path = path.canonicalize().map_err(fail)?;
        let file = path.join("wagres.pid");
        let fail = |source| FolderError::Io { path: file.clone(), source };
        let mut lock = File::options().create(true).truncate(false).write(true).read(true).open(&file).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = std::fs::read_to_string(&file).unwrap_or_default();
                return Err(FolderError::Taken { path, pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(fail)?;
        let folder = Self { path, _lock: lock };
        folder.retract();
        Ok(folder)
    }

    /// Tells other commands what runs here, until the folder is given free.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn announce(&self, running: &RunningUp) -> Result<(), FolderError> {
        let file = self.path.join(RUNNING);
        let text = serde_json::to_string(running).unwrap_or_default();
        std::fs::write(&file, text).map_err(|source| FolderError::Io { path: file, source })
    }

    fn retract(&self) {
        // There need not be one.
        let _ = std::fs::remove_file(self.path.join(RUNNING));
    }

    /// The folder, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The port on loopback that `what` had at the last start, if it is free now.
    #[must_use]
    pub fn kept_port(&self, what: &str) -> Option<u16> {
        let port = *self.ports().get(what)?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port)
    }

    /// Remembers the port of `what` for the next start.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_port(&self, what: &str, port: u16) -> Result<(), FolderError> {
        let mut ports = self.ports();
        if ports.insert(what.to_owned(), port) == Some(port) {
            return Ok(());
        }
        let text = serde_json::to_string(&ports).unwrap_or_default();
        std::fs::write(self.ports_file(), text).map_err(|source| FolderError::Io { path: self.ports_file(), source })
    }

    /// Writes a file that only its owner may read, unless it exists; returns its path.
    pub(super) fn secret_file(&self, name: &str, content: impl FnOnce() -> String) -> Result<PathBuf, FolderError> {
        let path = self.path.join(name);
        let made = File::options().write(true).create_new(true).mode(0o600).open(&path);
        match made.and_then(|mut file| file.write_all(content().as_bytes())) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(FolderError::Io { path, source: error }),
            _ => Ok(path),
        }
    }

    fn ports(&self) -> BTreeMap<String, u16> {
        // A damaged file costs the ports, nothing else.
        let read = std::fs::read(self.ports_file()).ok();
        read.and_then(|read| serde_json::from_slice(&read).ok()).unwrap_or_default()
    }

    fn ports_file(&self) -> PathBuf {
        self.path.join("ports.json")
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        self.retract();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h7_what_runs_in_a_folder_is_found_until_it_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data");
        assert_eq!(RunningUp::find(&path), None);
        let held = DataFolder::lock(&path).expect("locked");
        assert_eq!(RunningUp::find(&path), None, "not ready");
        let running = RunningUp {
            pid: std::process::id(),
            private: true,
            database_urls: vec!["postgres://wagres@localhost:1/wagres".into()],
            whatsapp_url: "ws://127.0.0.1:9/".into(),
        };
        held.announce(&running).expect("announced");
        assert_eq!(RunningUp::find(&path), Some(running.clone()));
        // As a killed process leaves it: the number is that of no process.
        held.announce(&RunningUp { pid: u32::MAX, ..running.clone() }).expect("announced");
        assert_eq!(RunningUp::find(&path), None);
        held.announce(&running).expect("announced");
        drop(held);
        assert_eq!(RunningUp::find(&path), None, "it has ended");
    }

    #[test]
    fn h7_a_data_folder_belongs_to_one_process_and_keeps_its_ports() {
        let folder = tempfile::tempdir().expect("a folder");
        let held = DataFolder::lock(&folder.path().join("data")).expect("locked");
        let second = DataFolder::lock(&folder.path().join("data")).map(drop).map_err(|error| error.to_string());
        let pid = format!("process {}", std::process::id());
        assert!(second.is_err_and(|text| text.contains(&pid) && text.contains("--data")));
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = taken.local_addr().expect("an address").port();
        held.keep_port("x", port).expect("kept");
        assert_eq!((held.kept_port("x"), held.kept_port("y")), (None, None), "taken, and never kept");
        drop(taken);
        assert_eq!(held.kept_port("x"), Some(port));
        drop(held);
        assert!(DataFolder::lock(&folder.path().join("data")).is_ok(), "free again");
    }
}

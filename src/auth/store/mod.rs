//! The storage backend of the client library, and the few operations on keys from which its traits are made.
//!
//! [`read`] reads, [`write`] writes under the fence, [`ahead`] reads before it is asked, over the memory in [`cache`],
//! [`seal`] opens and seals values.

mod ahead;
mod cache;
mod read;
mod seal;
mod write;

pub(super) use read::KeyRow;
pub(super) use write::{Batch, FencedWrite, Write, moment};

use super::{error::AuthError, ratchets::RatchetWriter, traffic::Traffic, vault::Vault};
use crate::db::{Db, fence::Fence, hold::Hold};
use cache::Cache;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Mutex, RwLock, mpsc::UnboundedSender};
use wacore::libsignal::protocol::PrivateKey;

/// Auth state of one session, under one hold of it.
///
/// The store keeps in memory only what it has read ahead. Each call is one statement at most, which waits while the
/// database is away. Reads are free; each write checks the fence in its own statement. The first write that finds
/// another epoch ends the hold, because then the client has to stop: the session belongs to somebody else.
pub struct AuthStore {
    hold: Hold,
    vault: Arc<Vault>,
    cache: Cache,
    /// Held while the credentials are written, so that no older credentials overwrite newer ones.
    pub(super) saving: Mutex<()>,
    /// The device's identity, once the credentials were read or written.
    pub(super) identity: OnceLock<PrivateKey>,
    statements: AtomicU64,
    /// Share-locked while a decrypted message is written.
    inbound_writes: RwLock<()>,
    missed: Option<UnboundedSender<String>>,
    traffic: Option<Arc<Traffic>>,
    ratchets: Option<RatchetWriter>,
}

/// How long writes of ratchets wait for a message that is between its decryption and its row. The library does nothing
/// in between.
const INBOUND_GAP: Duration = Duration::from_millis(3);

impl fmt::Debug for AuthStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthStore")
            .field("fence", &self.hold.fence)
            .field("lost", &self.hold.lost.is_cancelled())
            .finish_non_exhaustive()
    }
}

impl AuthStore {
    /// The auth state of the session that `hold` is of. A write that finds another epoch ends the hold.
    /// Values are sealed with `vault`'s key in force, and opened with any of its keys.
    #[must_use]
    pub fn new(hold: Hold, vault: Arc<Vault>) -> Self {
        Self {
            hold,
            vault,
            cache: Cache::default(),
            saving: Mutex::default(),
            identity: OnceLock::new(),
            statements: AtomicU64::new(0),
            inbound_writes: RwLock::default(),
            missed: None,
            traffic: None,
            ratchets: None,
        }
    }

    /// Sends `missed` the id of each message that the library has decrypted before and that is neither pending nor in
    /// `wa.inbox`. The library then gets [`AuthError::Missed`] and does not acknowledge the message.
    #[must_use]
    pub fn with_missed_messages(self, missed: UnboundedSender<String>) -> Self {
        Self { missed: Some(missed), ..self }
    }

    /// Skips waits and writes that `traffic` shows to be needless. Without it the store assumes that all are needed.
    #[must_use]
    pub fn with_traffic(self, traffic: Arc<Traffic>) -> Self {
        Self { traffic: Some(traffic), ..self }
    }

    /// Writes ratchets together with those of other sessions.
    #[must_use]
    pub fn with_ratchets(self, ratchets: RatchetWriter) -> Self {
        Self { ratchets: Some(ratchets), ..self }
    }

    pub(super) fn traffic(&self) -> Option<&Traffic> {
        self.traffic.as_deref()
    }

    /// The hold under which this store writes.
    #[must_use]
    pub const fn fence(&self) -> Fence {
        self.hold.fence
    }

    /// How many statements this store has run: round trips to the database.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    pub(crate) const fn pool(&self) -> &Db {
        &self.hold.db
    }

    /// Waits until decrypted messages have their rows; ratchets are written after them. The library writes all ratchets
    /// whenever it has to write one, also the ratchet of a message that it has decrypted and not yet stored. If the
    /// worker died between the two, the message would come again and be taken for a duplicate (R2).
    async fn wait_for_inbound(&self) {
        if self.traffic.as_ref().is_none_or(|traffic| traffic.recently_received()) {
            tokio::time::sleep(INBOUND_GAP).await;
        }
        drop(self.inbound_writes.write().await);
    }

    /// Reports a message that was decrypted before and is stored nowhere.
    pub(super) fn missed(&self, message_id: &str) -> Result<(), AuthError> {
        let Some(missed) = &self.missed else { return Ok(()) };
        // The receiver is gone when the client ends; then the message stays unacknowledged and comes again.
        drop(missed.send(message_id.to_owned()));
        Err(AuthError::Missed { session_id: self.hold.fence.session_id, message_id: message_id.to_owned() })
    }

    /// Runs a statement that can be run twice; `what` is its subject in errors. An outage of the database is waited out
    /// for as long as the session is held: the client library would go on without the answer, and a message that it
    /// decrypted and could not store would be lost.
    pub(super) async fn ask<T, F>(&self, what: &'static str, ask: impl FnMut() -> F + Send) -> Result<T, AuthError>
    where
        F: Future<Output = sqlx::Result<T>> + Send,
    {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let answer = self.hold.ask(ask).await;
        answer.map_err(|source| AuthError::Database { session_id: self.hold.fence.session_id, what, source })
    }
}

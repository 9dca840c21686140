//! The sessions that this worker holds, each with at most one client.

use super::client;
use super::endpoint::Endpoint;
use super::status::Status;
use super::supervise::{self, Running};
use crate::auth::{AuthStore, Vault};
use crate::db::Db;
use crate::db::fence::Fence;
use crate::db::outage::outlast;
use crate::jobs::Ready;
use crate::jobs::progress::Progress;
use crate::messages::acks::Acks;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use whatsapp_rust::client::Client;

/// How long an asked-for end may take before the client is left to its own.
const CLOSING: Duration = Duration::from_secs(15);

/// Why something could not be done to a session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Another worker holds it, or nobody.
    #[error("the session is not held any more (epoch {0})")]
    Stale(i64),
    /// It has never been linked, or was logged out.
    #[error("the session is not linked; SELECT wa.link(…) shows a QR")]
    NotLinked,
    /// The job needs a connection.
    #[error("the session is not connected")]
    NotConnected,
    /// The database said so.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// The auth state said so.
    #[error(transparent)]
    Auth(#[from] crate::auth::AuthError),
    /// The client library said so.
    #[error(transparent)]
    Build(#[from] client::BuildError),
}

/// What all sessions of a worker share.
#[derive(Debug)]
pub struct Shared {
    /// Where the rows are.
    pub pool: Db,
    /// The server to talk to.
    pub endpoint: Endpoint,
    /// What the auth state is encrypted with.
    pub vault: Arc<Vault>,
    /// Whose outbound rows may be claimed.
    pub ready: Ready,
    /// Where progress of messages goes.
    pub progress: Progress,
    /// Rings the dispatcher.
    pub wake: Arc<Notify>,
}

/// A session that this worker holds.
pub struct Held {
    /// The hold.
    pub fence: Fence,
    /// Its name.
    pub name: String,
    /// Cancelled by the first write that finds the hold gone.
    pub stale: CancellationToken,
    /// Senders that wait for the server's ack.
    pub acks: Acks,
    running: tokio::sync::Mutex<Option<Running>>,
    client: Mutex<Option<Arc<Client>>>,
}

impl Held {
    /// The client, while it is connected.
    #[must_use]
    pub fn client(&self) -> Option<Arc<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows the client to senders, or hides it.
    pub fn set_client(&self, client: Option<Arc<Client>>) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
    }
}

/// See the module.
#[derive(Clone)]
pub struct Sessions {
    shared: Arc<Shared>,
    held: Arc<Mutex<HashMap<i64, Arc<Held>>>>,
}

impl Sessions {
    /// No session yet.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared), held: Arc::default() }
    }

    /// How many sessions have a client or had one since they were taken.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The session, if it is held under this very hold.
    #[must_use]
    pub fn get(&self, fence: Fence) -> Option<Arc<Held>> {
        self.lock().get(&fence.session_id).filter(|held| held.fence == fence).cloned()
    }

    /// Starts the client of a session, unless it runs. `may_link`: a QR is shown when it is not linked.
    pub async fn start(&self, fence: Fence, name: &str, may_link: bool) -> Result<(), SessionError> {
        let held = self.enter(fence, name).await;
        let mut running = held.running.lock().await;
        if running.as_ref().is_some_and(Running::is_running) {
            return Ok(());
        }
        if let Some(ended) = running.take() {
            ended.bury().await;
        }
        let crate::auth::Found { linked, exported } = crate::auth::found(&self.shared.pool, fence.session_id).await?;
        if !linked && !may_link {
            drop(running);
            self.leave(&held, Status::New, "not linked", Wish::Stopped, Identity::Kept).await?;
            return Err(SessionError::NotLinked);
        }
        if exported {
            let reset = sqlx::query_file!("sql/session/used_elsewhere.sql", fence.session_id, fence.epoch);
            reset.fetch_optional(&self.shared.pool).await?;
            tracing::warn!(session = name, "used by another program before: chats begin new Signal sessions");
        }
        let opening = if linked { Status::Connecting } else { Status::Linking };
        supervise::set_status(&self.shared.pool, fence, opening, None).await?;
        let built =
            client::build(&self.shared.endpoint, &self.shared.pool, fence, name, &self.shared.vault, &held.stale)
                .await?;
        *running = Some(supervise::start(self.clone(), self.shared.clone(), held.clone(), built, linked));
        Ok(())
    }

    /// Ends the client in order, then gives the session back with its wish "stopped".
    pub async fn close(&self, fence: Fence, name: &str, reason: &str) -> Result<(), SessionError> {
        let held = self.enter(fence, name).await;
        self.end(&held).await;
        self.leave(&held, Status::Stopped, reason, Wish::Stopped, Identity::Kept).await
    }

    /// Unlinks the device, deletes its auth state and gives the session back.
    pub async fn logout(&self, fence: Fence, name: &str, reason: &str) -> Result<(), SessionError> {
        let held = self.enter(fence, name).await;
        let client = held.client().ok_or(SessionError::NotConnected)?;
        if let Some(running) = held.running.lock().await.as_ref() {
            running.expect_end();
        }
        client.logout().await;
        self.end(&held).await;
        self.forget(&held, reason).await
    }

    /// Deletes the auth state of a session that is logged out, and gives it back. Background tasks of its client may
    /// still write, so the deletion is made under a new hold that shuts them out.
    pub async fn forget(&self, held: &Held, reason: &str) -> Result<(), SessionError> {
        let Fence { session_id, epoch } = held.fence;
        let renew =
            || sqlx::query_file_scalar!("sql/session/renew.sql", session_id, epoch).fetch_optional(&self.shared.pool);
        let epoch = outlast(&held.stale, renew).await?.ok_or(SessionError::Stale(epoch))?;
        let fence = Fence { session_id, epoch };
        AuthStore::new(self.shared.pool.clone(), fence, self.shared.vault.clone(), held.stale.clone())
            .delete_all()
            .await?;
        self.release(held, fence, Status::LoggedOut, reason, Wish::Stopped, Identity::Forgotten).await
    }

    /// Ends every client and gives every session back, its wish unchanged.
    pub async fn stop_all(&self) {
        let all: Vec<Arc<Held>> = self.lock().values().cloned().collect();
        futures::future::join_all(all.iter().map(|held| async {
            self.end(held).await;
            let left = self.leave(held, Status::Disconnected, "the worker stopped", Wish::Unchanged, Identity::Kept);
            match tokio::time::timeout(CLOSING, left).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(session = held.name, %error, "not given back in order; it falls free with the worker");
                }
                Err(_) => tracing::warn!(session = held.name, "the database is away; it falls free with the worker"),
            }
        }))
        .await;
    }

    /// Cuts every socket at once and writes nothing: the lease is lost, so nothing of ours may be written.
    pub fn cut_all(&self) {
        for (_, held) in self.lock().drain() {
            self.shared.ready.remove(held.fence);
            held.stale.cancel();
        }
    }

    /// Gives a session back and forgets it here. The status is written in the statement that frees the lease.
    pub async fn leave(
        &self,
        held: &Held,
        status: Status,
        reason: &str,
        wish: Wish,
        identity: Identity,
    ) -> Result<(), SessionError> {
        self.release(held, held.fence, status, reason, wish, identity).await
    }

    async fn release(
        &self,
        held: &Held,
        under: Fence,
        status: Status,
        reason: &str,
        wish: Wish,
        identity: Identity,
    ) -> Result<(), SessionError> {
        let Fence { session_id, epoch } = under;
        self.shared.ready.remove(held.fence);
        let release = || {
            sqlx::query_file_scalar!(
                "sql/session/release.sql",
                session_id,
                epoch,
                status.name(),
                reason,
                wish == Wish::Stopped,
                identity == Identity::Forgotten
            )
            .fetch_one(&self.shared.pool)
        };
        let released = outlast(&held.stale, release).await;
        let mut map = self.lock();
        if map.get(&session_id).is_some_and(|h| h.fence == held.fence) {
            map.remove(&session_id);
        }
        if released? { Ok(()) } else { Err(SessionError::Stale(epoch)) }
    }

    /// The entry of this hold; an older hold of the same session is cut first.
    async fn enter(&self, fence: Fence, name: &str) -> Arc<Held> {
        let (entry, older) = {
            let mut map = self.lock();
            let older = map.get(&fence.session_id).filter(|h| h.fence != fence).cloned();
            if older.is_some() {
                map.remove(&fence.session_id);
            }
            let entry = map.entry(fence.session_id).or_insert_with(|| {
                Arc::new(Held {
                    fence,
                    name: name.to_owned(),
                    stale: CancellationToken::new(),
                    acks: Acks::default(),
                    running: tokio::sync::Mutex::new(None),
                    client: Mutex::new(None),
                })
            });
            (entry.clone(), older)
        };
        if let Some(older) = older {
            older.stale.cancel();
            self.end(&older).await;
        }
        entry
    }

    /// Ends the client and waits until it is gone.
    async fn end(&self, held: &Held) {
        self.shared.ready.remove(held.fence);
        if let Some(mut running) = held.running.lock().await.take() {
            running.expect_end();
            if tokio::time::timeout(CLOSING, running.end()).await.is_err() {
                tracing::warn!(session = held.name, "the client did not end in time and is cut");
                held.stale.cancel();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether giving a session back changes what is wished for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// As it was.
    Unchanged,
    /// Nobody is to connect it until asked.
    Stopped,
}

/// Whether giving a session back forgets which device it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Still linked.
    Kept,
    /// Unlinked.
    Forgotten,
}

//! The sessions that this worker holds, each with at most one client.

use super::client;
use super::endpoint::Endpoint;
use super::row;
use super::status::Status;
use super::supervise::{self, Running};
use crate::auth::{AuthStore, Traffic, Vault};
use crate::config::DeviceConfig;
use crate::db::Db;
use crate::db::fence::Fence;
use crate::db::outage::outlast;
use crate::jobs::Ready;
use crate::jobs::progress::Progress;
use crate::messages::acks::Acks;
use crate::messages::media::Media;
use crate::telemetry;
use futures::StreamExt as _;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wacore::iq::keepalive::KeepaliveSpec;
use wacore::iq::spec::IqSpec as _;
use whatsapp_rust::client::Client;
use whatsapp_rust::request::IqError;

/// How long an asked-for end may take before the client is left to its own.
const CLOSING: Duration = Duration::from_secs(15);

/// How long WhatsApp may take for a sign of life.
const ANSWER: Duration = Duration::from_secs(10);
/// How many sessions are asked at the same time.
const CHECKS: usize = 64;

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
    /// What the devices call themselves.
    pub device: DeviceConfig,
    /// For messages with files.
    pub media: Media,
    /// What the auth state is encrypted with.
    pub vault: Arc<Vault>,
    /// Whose outbound rows may be claimed.
    pub ready: Ready,
    /// Where progress of messages goes.
    pub progress: Progress,
    /// Rings the dispatcher.
    pub wake: Arc<Notify>,
    /// Rings it too, once for many sessions.
    pub connected: Arc<Notify>,
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
    /// When it last got messages.
    pub traffic: Arc<Traffic>,
    /// Rung when it is to be linked and may have another phone number for that.
    pub relink: Notify,
    /// Rung when its connection is found dead.
    pub dead: Notify,
    /// Held by whoever writes a piece of the past.
    pub past: tokio::sync::Mutex<()>,
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

    /// Whether WhatsApp answers on its connection; true while there is none, which others look after.
    async fn answers(&self) -> bool {
        let Some(client) = self.client() else { return true };
        let ping = KeepaliveSpec::with_timeout(ANSWER).build_iq();
        // An answer that says no is a sign of life, too.
        let answered = matches!(client.send_iq(ping).await, Ok(_) | Err(IqError::ServerError { .. }));
        // It may have ended meanwhile, and then its supervisor knows.
        (answered && client.is_logged_in()) || self.client().is_none_or(|now| !Arc::ptr_eq(&now, &client))
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

    /// For messages with files.
    #[must_use]
    pub fn media(&self) -> &Media {
        &self.shared.media
    }

    /// Where the rows are.
    #[must_use]
    pub fn pool(&self) -> &Db {
        &self.shared.pool
    }

    /// How many sessions have a client or had one since they were taken.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Those that [`Sessions::count`] counts, by name, and whether each is logged in.
    #[must_use]
    pub fn list(&self) -> BTreeMap<String, bool> {
        self.lock().values().map(|held| (held.name.clone(), held.client().is_some())).collect()
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
            if may_link {
                held.relink.notify_one();
            }
            return Ok(());
        }
        if let Some(ended) = running.take() {
            ended.bury().await;
        }
        let found = crate::auth::found(&self.shared.pool, fence.session_id).await?;
        let (linked, exported) = (found.linked, found.exported);
        if !linked && !may_link {
            drop(running);
            self.leave(&held, Status::New, "not linked", Wish::Stopped, Identity::Kept).await?;
            return Err(SessionError::NotLinked);
        }
        if exported {
            let reset = sqlx::query_file!("sql/session/reset_exported.sql", fence.session_id, fence.epoch);
            reset.fetch_optional(&self.shared.pool).await?;
            tracing::warn!(session = name, "used by another program before: chats begin new Signal sessions");
        }
        let opening = if linked { Status::Connecting } else { Status::Linking };
        row::set_status(&self.shared.pool, fence, opening).await?;
        let built = match client::build(&self.shared, &held, &found).await {
            Ok(built) => built,
            // As a connection that failed: it is tried again after a while, and the row says why.
            Err(error) => {
                row::lost(&self.shared, &held, Status::Disconnected, &error.to_string(), linked, None).await;
                return Err(error.into());
            }
        };
        *running = Some(supervise::start(self.clone(), self.shared.clone(), held.clone(), built, linked));
        Ok(())
    }

    /// Goes on with a linking whose row has changed, by a client that is there or a new one.
    pub async fn go_on_linking(&self, fence: Fence, name: &str) -> Result<(), SessionError> {
        self.start(fence, name, true).await?;
        if let Some(held) = self.get(fence)
            && let Some(running) = held.running.lock().await.as_ref()
        {
            running.go_on_linking();
        }
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
        let store = self.under_new_hold(held).await?;
        store.delete_all().await?;
        self.release(held, store.fence(), Status::LoggedOut, reason, Wish::Stopped, Identity::Forgotten).await
    }

    /// The same for a session whose auth state cannot be used any more: it is put aside.
    pub async fn give_up(&self, held: &Held, reason: &str) -> Result<(), SessionError> {
        let store = self.under_new_hold(held).await?;
        store.quarantine_all(reason).await?;
        self.release(held, store.fence(), Status::LoggedOut, reason, Wish::Stopped, Identity::Forgotten).await
    }

    async fn under_new_hold(&self, held: &Held) -> Result<AuthStore, SessionError> {
        let Fence { session_id, epoch } = held.fence;
        let renew =
            || sqlx::query_file_scalar!("sql/session/renew.sql", session_id, epoch).fetch_optional(&self.shared.pool);
        let epoch = outlast(&held.stale, renew).await?.ok_or(SessionError::Stale(epoch))?;
        let fence = Fence { session_id, epoch };
        Ok(AuthStore::new(self.shared.pool.clone(), fence, self.shared.vault.clone(), held.stale.clone()))
    }

    /// Asks WhatsApp for a sign of life on every connection, and has those connected anew that get none (S9).
    pub async fn check(&self) {
        let held: Vec<Arc<Held>> = self.lock().values().filter(|held| held.client().is_some()).cloned().collect();
        let checks = held.into_iter().map(|held| async move { (held.answers().await, held) });
        let (mut ids, mut epochs) = (vec![], vec![]);
        let mut checks = futures::stream::iter(checks).buffer_unordered(CHECKS);
        while let Some((alive, held)) = checks.next().await {
            if alive {
                ids.push(held.fence.session_id);
                epochs.push(held.fence.epoch);
            } else {
                held.dead.notify_one();
            }
        }
        let checked = sqlx::query_file!("sql/session/checked.sql", &ids, &epochs).execute(&self.shared.pool).await;
        if let Err(error) = checked {
            tracing::warn!(%error, "which sessions are alive is not written");
        }
    }

    /// Nothing more is sent for a session that another worker is to have.
    pub fn withdraw(&self, fence: Fence) {
        self.shared.ready.remove(fence);
    }

    /// Ends the client in order and gives the session back to whoever has room for it.
    pub async fn hand_over(&self, fence: Fence) -> Result<(), SessionError> {
        let Some(held) = self.get(fence) else { return Ok(()) };
        self.end(&held).await;
        let reason = "handed over to another worker";
        self.leave(&held, Status::Disconnected, reason, Wish::Unchanged, Identity::Kept).await
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
        telemetry::lease_lost();
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
                    traffic: Arc::default(),
                    dead: Notify::new(),
                    relink: Notify::new(),
                    past: tokio::sync::Mutex::default(),
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

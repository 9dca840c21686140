//! The sessions that this worker holds, each with at most one client, and what happens when a connection ends.

use super::client::{self, ClientSettings};
use super::ending::{After, Ended, Next};
use super::error::SessionError;
use super::held::Held;
use super::row;
use super::running::{End, Running};
use super::status::Status;
use super::supervise::{Reports, Supervisor};
use crate::auth::{AuthStore, SessionCredentials};
use crate::db::Db;
use crate::db::fence::Fence;
use crate::db::hold::Hold;
use crate::jobs::bells::Bells;
use crate::jobs::progress::Progress;
use crate::messages::connection::Connections;
use crate::telemetry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::Instrument as _;

/// How long a connection may take to close in order before it is cut, and the database to take the release of a
/// session.
const CLOSING: Duration = Duration::from_secs(15);

/// A held session and its client.
struct Entry {
    held: Arc<Held>,
    running: tokio::sync::Mutex<Option<Running>>,
}

/// The held sessions of a worker. Clones share them.
#[derive(Clone)]
pub struct Sessions {
    db: Db,
    settings: Arc<ClientSettings>,
    reports: Reports,
    entries: Arc<Mutex<HashMap<i64, Arc<Entry>>>>,
}

/// What releasing a session does to its `desired` state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Desired {
    Unchanged,
    /// Nobody connects it until asked.
    Stopped,
}

/// Whether the row keeps the identity of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    Kept,
    Forgotten,
}

/// How a session leaves this worker.
struct Leave<'a> {
    status: Status,
    reason: &'a str,
    desired: Desired,
    identity: Identity,
}

impl<'a> Leave<'a> {
    /// To any worker that has room.
    const fn to_others(reason: &'a str) -> Self {
        Self { status: Status::Disconnected, reason, desired: Desired::Unchanged, identity: Identity::Kept }
    }

    /// Nobody connects the session; it stays linked.
    const fn stopped(status: Status, reason: &'a str) -> Self {
        Self { status, reason, desired: Desired::Stopped, identity: Identity::Kept }
    }

    /// The device is no longer linked.
    const fn unlinked(reason: &'a str) -> Self {
        Self { status: Status::LoggedOut, reason, desired: Desired::Stopped, identity: Identity::Forgotten }
    }
}

impl Sessions {
    /// No session yet. Their connections are added to `connections`; acks and receipts go to `progress`.
    #[must_use]
    pub fn new(db: Db, settings: ClientSettings, connections: Connections, progress: Progress, bells: Bells) -> Self {
        let reports = Reports { connections, progress, bells, tasks: settings.tasks.clone() };
        Self { db, settings: Arc::new(settings), reports, entries: Arc::default() }
    }

    /// The connections of these sessions.
    #[must_use]
    pub fn connections(&self) -> &Connections {
        &self.reports.connections
    }

    /// How many sessions have a client, or had one since they were adopted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The sessions that [`Sessions::count`] counts, by name, and whether each is logged in.
    #[must_use]
    pub fn list(&self) -> BTreeMap<String, bool> {
        let holds: Vec<Hold> = self.lock().values().map(|entry| entry.held.hold.clone()).collect();
        let connected = |hold: &Hold| self.connections().get(hold.fence).is_some();
        holds.iter().map(|hold| (hold.session.to_string(), connected(hold))).collect()
    }

    /// Connects a session, unless it is connected. With `may_link`, an unlinked session shows a QR code.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn start(&self, fence: Fence, name: &str, may_link: bool) -> Result<(), SessionError> {
        let entry = self.enter(fence, name).await;
        let hold = &entry.held.hold;
        let mut running = entry.running.lock().await;
        if running.as_ref().is_some_and(Running::is_connected) {
            if may_link {
                entry.held.relink.notify_one();
            }
            return Ok(());
        }
        if let Some(ended) = running.take() {
            ended.join().await;
        }
        let found = crate::auth::session_credentials(&hold.db, fence.session_id).await?;
        if !found.linked && !may_link {
            drop(running);
            self.leave(&entry, Leave::stopped(Status::New, "not linked")).await?;
            return Err(SessionError::NotLinked);
        }
        if found.exported {
            let reset = sqlx::query_file!("sql/session/reset_exported.sql", fence.session_id, fence.epoch);
            reset.fetch_optional(&hold.db).await?;
            tracing::warn!("another program used the session since its export; chats start new Signal sessions");
        }
        row::set_status(hold, if found.linked { Status::Connecting } else { Status::Linking }).await?;
        *running = Some(self.connect(&entry, &found).await?);
        Ok(())
    }

    /// Builds the client of a session and starts the task that supervises it.
    async fn connect(&self, entry: &Arc<Entry>, found: &SessionCredentials) -> Result<Running, SessionError> {
        let Held { hold, traffic, .. } = &*entry.held;
        let span = entry.held.hold.span();
        let built = match client::build(&self.settings, hold, traffic, found).instrument(span.clone()).await {
            Ok(built) => built,
            // As after a lost connection, the row says why, and the next attempt follows after the backoff.
            Err(error) => {
                row::lost(hold, Status::Disconnected, &error.to_string(), found.linked, None).await;
                self.reports.bells.claim.notify_one();
                return Err(error.into());
            }
        };
        let client = built.bot.client();
        let supervisor = span.in_scope(|| {
            let vault = self.settings.vault.clone();
            Supervisor::new(entry.held.clone(), client.clone(), self.reports.clone(), vault, found.linked)
        });
        let (passkey, end) = (supervisor.passkey(), Arc::<End>::default());
        let (sessions, entry, ending) = (self.clone(), entry.clone(), end.clone());
        let supervised = async move {
            let ended = supervisor.run(built).await;
            if ending.mark_over() {
                sessions.follow(&entry, ended).await;
            }
        };
        Ok(Running { client, task: tokio::spawn(supervised.instrument(span)), end, passkey })
    }

    /// Does what follows an end that nobody asked for.
    async fn follow(&self, entry: &Entry, ended: Ended) {
        let (hold, reason) = (&entry.held.hold, ended.reason());
        let next = ended.next();
        if next != Next::Nothing {
            telemetry::ended(ended.name(), ended.linked && !ended.connected);
        }
        let released = match next {
            Next::Nothing => return,
            Next::Connect(status, after) => {
                tracing::info!(reason, "connection ended; the next one is queued");
                let after = if let After::Time(time) = after { Some(time) } else { None };
                row::lost(hold, status, reason, ended.linked, after).await;
                return self.reports.bells.claim.notify_one();
            }
            Next::LinkByQr => {
                row::show_code(hold, None, Some(reason)).await;
                row::lost(hold, Status::Disconnected, reason, ended.linked, Some(Duration::ZERO)).await;
                return self.reports.bells.claim.notify_one();
            }
            Next::Release(status) => self.leave(entry, Leave::stopped(status, reason)).await,
            Next::Forget => {
                tracing::warn!(reason, "logged out; auth state deleted");
                self.forget(entry, reason).await
            }
            Next::Quarantine => {
                tracing::error!(reason, "session unlinked; auth state quarantined");
                self.quarantine(entry, reason).await
            }
        };
        if let Err(error) = released {
            tracing::warn!(%error, "end of the session not written; its lease expires with the worker");
        }
    }

    /// Continues a linking whose row has changed, with the running client or a new one.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn continue_linking(&self, fence: Fence, name: &str) -> Result<(), SessionError> {
        self.start(fence, name, true).await?;
        if let Some(entry) = self.get(fence)
            && let Some(running) = entry.running.lock().await.as_ref()
        {
            running.continue_linking();
        }
        Ok(())
    }

    /// Ends the connection in order, then releases the session, which stays linked and stopped.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn close(&self, fence: Fence, name: &str, reason: &str) -> Result<(), SessionError> {
        let entry = self.enter(fence, name).await;
        self.disconnect(&entry).await;
        self.leave(&entry, Leave::stopped(Status::Stopped, reason)).await
    }

    /// Unlinks the device, deletes its auth state and releases the session.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn logout(&self, fence: Fence, name: &str, reason: &str) -> Result<(), SessionError> {
        let entry = self.enter(fence, name).await;
        let connection = self.connections().get(fence).ok_or(SessionError::NotConnected)?;
        if let Some(running) = entry.running.lock().await.as_ref() {
            running.expect_end();
        }
        connection.client.logout().await;
        self.disconnect(&entry).await;
        self.forget(&entry, reason).await
    }

    /// Deletes the auth state of a session that is logged out, and releases it. Background tasks of its client may
    /// still write, so the deletion happens under a new epoch, which refuses their writes.
    async fn forget(&self, entry: &Entry, reason: &str) -> Result<(), SessionError> {
        let hold = renewed(&entry.held.hold).await?;
        AuthStore::new(hold.clone(), self.settings.vault.clone()).delete_all().await?;
        self.release(entry, &hold, Leave::unlinked(reason)).await
    }

    /// The same for a session whose auth state is unusable: the auth state goes to the quarantine.
    async fn quarantine(&self, entry: &Entry, reason: &str) -> Result<(), SessionError> {
        let hold = renewed(&entry.held.hold).await?;
        AuthStore::new(hold.clone(), self.settings.vault.clone()).quarantine_all(reason).await?;
        self.release(entry, &hold, Leave::unlinked(reason)).await
    }

    /// Stops claiming messages of a session that another worker should have.
    pub fn withdraw(&self, fence: Fence) {
        self.connections().withdraw(fence);
    }

    /// Ends the connection in order and releases the session to whichever worker has room for it.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn hand_over(&self, fence: Fence) -> Result<(), SessionError> {
        let Some(entry) = self.get(fence) else { return Ok(()) };
        self.disconnect(&entry).await;
        self.leave(&entry, Leave::to_others("handed over to another worker")).await
    }

    /// Reports that the connection of a session is dead, so that it is made again.
    pub(super) fn dead(&self, fence: Fence) {
        if let Some(entry) = self.get(fence) {
            entry.held.dead.notify_one();
        }
    }

    /// Ends every connection and releases every session.
    pub async fn stop_all(&self) {
        let all: Vec<Arc<Entry>> = self.lock().values().cloned().collect();
        futures::future::join_all(all.iter().map(|entry| {
            let stop = async {
                self.disconnect(entry).await;
                let left = self.leave(entry, Leave::to_others("the worker stopped"));
                match tokio::time::timeout(CLOSING, left).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(%error, "session not released; its lease expires with the worker");
                    }
                    Err(_) => {
                        tracing::warn!("database did not answer in time; the session's lease expires with the worker");
                    }
                }
            };
            stop.instrument(entry.held.hold.span())
        }))
        .await;
        self.join_tasks().await;
    }

    /// Cuts every socket at once and writes nothing: the lease is lost, so this worker must not write any more.
    pub async fn cut_all(&self) {
        telemetry::lease_lost();
        let all: Vec<Arc<Entry>> = self.lock().drain().map(|(_, entry)| entry).collect();
        for entry in &all {
            self.connections().close(entry.held.hold.fence);
            entry.held.hold.lost.cancel();
        }
        let ends = all.iter().map(|entry| async {
            if let Some(running) = entry.running.lock().await.take() {
                running.join().await;
            }
        });
        if tokio::time::timeout(CLOSING, futures::future::join_all(ends)).await.is_err() {
            tracing::warn!("connections did not end in time; left behind");
        }
        self.join_tasks().await;
    }

    async fn join_tasks(&self) {
        self.reports.tasks.close();
        if tokio::time::timeout(CLOSING, self.reports.tasks.wait()).await.is_err() {
            tracing::warn!(count = self.reports.tasks.len(), "requests to WhatsApp did not end in time; left behind");
        }
    }

    async fn leave(&self, entry: &Entry, leave: Leave<'_>) -> Result<(), SessionError> {
        self.release(entry, &entry.held.hold, leave).await
    }

    /// Releases a session and removes it here. The statement that releases the lease also writes the status.
    async fn release(&self, entry: &Entry, under: &Hold, leave: Leave<'_>) -> Result<(), SessionError> {
        let Fence { session_id, epoch } = under.fence;
        let Leave { status, reason, desired, identity } = leave;
        self.connections().close(entry.held.hold.fence);
        let release = || {
            sqlx::query_file_scalar!(
                "sql/session/release.sql",
                session_id,
                epoch,
                status.name(),
                reason,
                desired == Desired::Stopped,
                identity == Identity::Forgotten
            )
            .fetch_one(&under.db)
        };
        let released = under.ask(release).await;
        let mut entries = self.lock();
        if entries.get(&session_id).is_some_and(|found| found.held.hold.fence == entry.held.hold.fence) {
            entries.remove(&session_id);
        }
        drop(entries);
        if released? { Ok(()) } else { Err(SessionError::Lost(epoch)) }
    }

    fn get(&self, fence: Fence) -> Option<Arc<Entry>> {
        self.lock().get(&fence.session_id).filter(|entry| entry.held.hold.fence == fence).cloned()
    }

    /// The entry of this hold; an older hold of the same session is cut first.
    async fn enter(&self, fence: Fence, name: &str) -> Arc<Entry> {
        let (entry, older) = {
            let mut entries = self.lock();
            let older = entries.get(&fence.session_id).filter(|entry| entry.held.hold.fence != fence).cloned();
            if older.is_some() {
                entries.remove(&fence.session_id);
            }
            let entry = entries.entry(fence.session_id).or_insert_with(|| {
                let held = Arc::new(Held::new(Hold::new(self.db.clone(), fence, name)));
                Arc::new(Entry { held, running: tokio::sync::Mutex::new(None) })
            });
            (entry.clone(), older)
        };
        if let Some(older) = older {
            older.held.hold.lost.cancel();
            self.disconnect(&older).await;
        }
        entry
    }

    /// Ends the connection and waits for its end.
    async fn disconnect(&self, entry: &Entry) {
        self.withdraw(entry.held.hold.fence);
        if let Some(mut running) = entry.running.lock().await.take() {
            running.expect_end();
            if tokio::time::timeout(CLOSING, running.disconnect()).await.is_err() {
                tracing::warn!("client did not end in time; connection cut");
                entry.held.hold.lost.cancel();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same hold under a new epoch.
async fn renewed(hold: &Hold) -> Result<Hold, SessionError> {
    let Fence { session_id, epoch } = hold.fence;
    let renew = || sqlx::query_file_scalar!("sql/session/renew.sql", session_id, epoch).fetch_optional(&hold.db);
    let epoch = hold.ask(renew).await?.ok_or(SessionError::Lost(epoch))?;
    Ok(hold.renewed(epoch))
}

//! The sessions that this worker holds, each with at most one client, and what happens when a connection ends.

pub mod idle;

use super::admission::{Admission, Gate};
use super::client::{self, ClientSettings};
use super::ending::{After, Ended, Next, Why};
use super::error::SessionError;
use super::held::Held;
use super::leave::Leave;
use super::reports::Reports;
use super::row;
use super::running::{End, Running};
use super::status::Status;
use super::supervise::Supervisor;
use crate::auth::SessionCredentials;
use crate::db::Db;
use crate::db::backoff::spread;
use crate::db::fence::Fence;
use crate::db::hold::Hold;
use crate::jobs::bells::Bells;
use crate::jobs::progress::Progress;
use crate::messages::connection::Connections;
use crate::telemetry;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::Instrument as _;

/// How long a connection may take to close in order before it is cut, and the database to take the release of a
/// session.
const CLOSING: Duration = Duration::from_secs(15);
/// How soon a session asks again for its turn while WhatsApp is away.
const AWAY: Duration = Duration::from_secs(5);
/// What the row of a session says while it waits for its turn.
const AWAY_REASON: &str = "waits until WhatsApp can be reached again";

/// The status of a session that connects.
fn connects_as(linked: bool) -> Status {
    if linked { Status::Connecting } else { Status::Linking }
}

/// A held session and its client.
pub(super) struct Entry {
    pub(super) held: Arc<Held>,
    pub(super) running: tokio::sync::Mutex<Option<Running>>,
}

/// What `/health` shows of a held session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldSession {
    /// `wa.session.name`.
    pub session: Arc<str>,
    /// The status that this worker last gave it.
    pub status: Status,
    /// Whether its phone number is known.
    pub phone_known: bool,
}

/// The held sessions of a worker. Clones share them.
#[derive(Clone)]
pub struct Sessions {
    db: Db,
    pub(super) settings: Arc<ClientSettings>,
    reports: Reports,
    entries: Arc<Mutex<HashMap<i64, Arc<Entry>>>>,
}

impl Sessions {
    /// No session yet. Their connections are added to `connections`; acks and receipts go to `progress`.
    #[must_use]
    pub fn new(db: Db, settings: ClientSettings, connections: Connections, progress: Progress, bells: Bells) -> Self {
        let gate = Gate::new(settings.max_handshakes);
        let (tasks, numbers) = (settings.tasks.clone(), settings.numbers.clone());
        let reports = Reports { connections, progress, bells, tasks, gate, numbers };
        Self { db, settings: Arc::new(settings), reports, entries: Arc::default() }
    }

    /// The connections of these sessions.
    #[must_use]
    pub fn connections(&self) -> &Connections {
        &self.reports.connections
    }

    /// A job has given up its place, so another one may be claimed.
    pub(super) fn place_freed(&self) {
        self.reports.bells.claim.notify_one();
    }

    /// How many sessions have a client, or had one since they were adopted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The sessions that [`Sessions::count`] counts, in the order of their names.
    #[must_use]
    pub fn list(&self) -> Vec<HeldSession> {
        let view = |held: &Held| HeldSession {
            session: held.hold.session.clone(),
            status: held.status(),
            phone_known: held.phone_known(),
        };
        let mut found: Vec<_> = self.lock().values().map(|entry| view(&entry.held)).collect();
        found.sort_unstable_by(|one, other| one.session.cmp(&other.session));
        found
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
        if found.moved {
            // The next heartbeat notices it, too.
            self.reports.bells.reconcile.notify_one();
            return Err(SessionError::Moved);
        }
        if !found.linked && !may_link {
            drop(running);
            self.leave(&entry, Leave::stopped(Status::New, "not linked")).await?;
            return Err(SessionError::NotLinked);
        }
        if found.linked && found.ratchets_old {
            let reset = sqlx::query_file_scalar!("sql/session/use_ratchets.sql", fence.session_id, fence.epoch);
            if let Some(keys) = reset.fetch_optional(&hold.db).await?.flatten() {
                tracing::warn!(keys, "ratchets may have been used elsewhere; chats start new Signal sessions");
            }
        }
        entry.held.set_phone_known(found.linked);
        row::set_status(&entry.held, connects_as(found.linked), None).await?;
        *running = Some(self.connect(&entry, &found, may_link).await?);
        Ok(())
    }

    /// Builds the client of a session and starts the task that supervises it. `to_link`: somebody has asked for a link.
    async fn connect(
        &self,
        entry: &Arc<Entry>,
        found: &SessionCredentials,
        to_link: bool,
    ) -> Result<Running, SessionError> {
        let Held { hold, traffic, .. } = &*entry.held;
        let span = entry.held.hold.span();
        let built = match client::build(&self.settings, hold, traffic, found).instrument(span.clone()).await {
            Ok(built) => built,
            // As after a lost connection, the row says why, and the next attempt follows after the backoff.
            Err(error) => {
                let (why, reason) = (Why::NotBuilt, Some(error.to_string()));
                let ended = Ended { why, reason, ..Ended::lost(found.linked) };
                row::lost(&entry.held, &ended, Status::Disconnected, None).await;
                self.reports.bells.claim.notify_one();
                return Err(error.into());
            }
        };
        let (client, direct, tenant) = (built.bot.client(), found.proxy.is_none(), found.tenant.clone());
        let status = connects_as(found.linked);
        let supervisor = span.in_scope(|| {
            let vault = self.settings.vault.clone();
            Supervisor::new(entry.held.clone(), client.clone(), self.reports.clone(), vault, found.linked, direct)
        });
        let (passkey, end) = (supervisor.passkey(), Arc::<End>::default());
        let (sessions, entry, ending) = (self.clone(), entry.clone(), end.clone());
        let supervised = async move {
            let Some(admission) = sessions.admitted(&entry, &tenant, direct, status, &ending).await else {
                ending.mark_over();
                return supervisor.give_up().await;
            };
            let ended = supervisor.run(built, admission).await;
            if ending.mark_over() {
                sessions.follow(&entry, &ended, direct, to_link).await;
            }
            entry.held.changed.notify_one();
        };
        Ok(Running { client, task: tokio::spawn(supervised.instrument(span)), end, passkey })
    }

    /// Waits until the session may connect; its row shows `status`, and whether it waits for WhatsApp. `None` when it need
    /// not connect any more.
    async fn admitted(
        &self,
        entry: &Entry,
        tenant: &Arc<str>,
        direct: bool,
        status: Status,
        end: &End,
    ) -> Option<Admission> {
        let waits = async || row::change_status(&entry.held, status, Some(AWAY_REASON), None).await;
        tokio::select! {
            biased;
            () = entry.held.hold.lost.cancelled() => None,
            () = end.asked_for() => None,
            admission = async {
                let admission = self.reports.gate.admit(tenant, entry.held.hold.fence.session_id, direct, waits).await;
                // The socket would wait for it, too, but then the time for the login would have begun (P6).
                self.settings.proof.fresh().await;
                admission
            } => Some(admission),
        }
    }

    /// Does what follows an end that nobody asked for. `direct`: the session connects without a proxy. `to_link`: somebody
    /// has asked for a link, and the session had credentials already.
    async fn follow(&self, entry: &Entry, ended: &Ended, direct: bool, to_link: bool) {
        let (hold, reason, shown) = (&entry.held.hold, ended.reason(), ended.why.shown());
        let next = ended.next();
        if next != Next::Nothing {
            telemetry::ended(shown.name, ended.linked && !ended.connected);
        }
        let released = match next {
            Next::Nothing => return,
            Next::Connect(status, after) => {
                tracing::info!(end = shown.name, code = ended.code, reason, "connection ended; the next one is queued");
                let away = direct && ended.by_network_alone() && self.reports.gate.unreachable(hold.fence.session_id);
                let after = match after {
                    After::Time(time) => Some(time),
                    // No failure of this session: it waits for its turn to probe.
                    After::Backoff if away => Some(spread(AWAY)),
                    After::Backoff => None,
                };
                row::lost(&entry.held, ended, status, after).await;
                return self.reports.bells.claim.notify_one();
            }
            Next::LinkByQr => {
                row::show_code(hold, None, Some(&reason)).await;
                row::lost(&entry.held, ended, Status::Disconnected, Some(Duration::ZERO)).await;
                return self.reports.bells.claim.notify_one();
            }
            Next::Release(status) => self.leave(entry, Leave::stopped(status, &reason).after(ended)).await,
            Next::Quarantine => {
                let (end, code, advice) = (shown.name, ended.code, shown.advice);
                tracing::error!(end, code, reason, advice, "session unlinked; auth state quarantined");
                let left = self.quarantine(entry, ended, to_link && ended.refuses_the_link()).await;
                // A link may wait now.
                self.reports.bells.claim.notify_one();
                left
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

    /// Sets the state that a scheduled job wants, now that it runs.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn set_wish(&self, fence: Fence, name: &str, job: i64) -> Result<(), SessionError> {
        let entry = self.enter(fence, name).await;
        row::set_wish(&entry.held.hold, job).await
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

    pub(super) async fn leave(&self, entry: &Entry, leave: Leave<'_>) -> Result<(), SessionError> {
        self.release(entry, &entry.held.hold, leave).await
    }

    /// Releases a session and removes it here.
    pub(super) async fn release(&self, entry: &Entry, under: &Hold, leave: Leave<'_>) -> Result<(), SessionError> {
        self.connections().close(entry.held.hold.fence);
        let released = under.ask(|| leave.write(under)).await;
        self.remove(entry);
        if released? { Ok(()) } else { Err(SessionError::Lost(under.fence.epoch)) }
    }

    fn remove(&self, entry: &Entry) {
        let fence = entry.held.hold.fence;
        let mut entries = self.lock();
        if entries.get(&fence.session_id).is_some_and(|found| found.held.hold.fence == fence) {
            entries.remove(&fence.session_id);
        }
    }

    pub(super) fn get(&self, fence: Fence) -> Option<Arc<Entry>> {
        self.lock().get(&fence.session_id).filter(|entry| entry.held.hold.fence == fence).cloned()
    }

    /// The entry of this hold; an older hold of the same session is cut first.
    pub(super) async fn enter(&self, fence: Fence, name: &str) -> Arc<Entry> {
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
    pub(super) async fn disconnect(&self, entry: &Entry) {
        self.withdraw(entry.held.hold.fence);
        if let Some(mut running) = entry.running.lock().await.take() {
            running.expect_end();
            self.connections().ending(entry.held.hold.fence);
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

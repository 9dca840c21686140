//! What a running worker shows, for `/health`, `/metrics` and the log.

use crate::db::Db;
use crate::jobs::lanes::Lanes;
use crate::jobs::unwritten::Unwritten;
use crate::jobs::{Ready, maintenance, session_work};
use crate::session::registry::{HeldSession, Sessions};
use crate::telemetry::{self, Load, Usage};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A batch that has waited this long holds up everything behind it.
const STUCK: Duration = Duration::from_secs(30);

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not registered yet, or between two lives: for that the database has to answer.
    Starting,
    /// Holds sessions and takes work.
    Working,
    /// Holds sessions, but the database does not answer.
    Waiting,
    /// Takes no more work, and drains.
    Stopping,
}

/// A window into a running worker.
#[derive(Debug, Clone)]
pub struct Window {
    /// The connected sessions.
    pub ready: Ready,
    /// The current phase.
    pub phase: watch::Receiver<Phase>,
    pub(super) view: View,
}

/// What the current life of a worker shows; nothing between two lives.
#[derive(Debug, Clone, Default)]
pub(super) struct View(Arc<Mutex<Option<LifeView>>>);

#[derive(Clone)]
struct LifeView {
    sessions: Sessions,
    lanes: Lanes,
    unwritten: Unwritten,
}

impl std::fmt::Debug for LifeView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LifeView").field("sessions", &self.sessions.count()).finish_non_exhaustive()
    }
}

impl View {
    pub(super) fn show(&self, sessions: Sessions, lanes: Lanes, unwritten: Unwritten) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(LifeView { sessions, lanes, unwritten });
    }

    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn get(&self) -> Option<LifeView> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Window {
    /// The sessions that the worker holds, in the order of their names.
    #[must_use]
    pub fn clients(&self) -> Vec<HeldSession> {
        self.view.get().map(|shown| shown.sessions.list()).unwrap_or_default()
    }

    /// The load of the worker.
    #[must_use]
    pub fn load(&self) -> Load {
        let connected = self.ready.count();
        self.view.get().map_or(Load { connected, ..Load::default() }, |shown| {
            let in_hand = shown.lanes.amount();
            Load {
                held: shown.sessions.count(),
                connected,
                in_hand: in_hand.count,
                in_hand_bytes: in_hand.bytes,
                oldest_change: shown.unwritten.age(),
            }
        })
    }

    /// Whether outcomes and receipts of all sessions wait behind a batch that cannot be written.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.view.get().is_some_and(|shown| shown.unwritten.stuck() > STUCK)
    }
}

/// Sets the phase by whether the database answers, while the worker works.
pub(super) fn reachable(phase: watch::Sender<Phase>) -> impl Fn(bool) {
    move |answers| {
        let (from, to) = if answers { (Phase::Waiting, Phase::Working) } else { (Phase::Working, Phase::Waiting) };
        phase.send_if_modified(|phase| *phase == from && std::mem::replace(phase, to) == from);
    }
}

/// Logs at an interval what the process uses and has to do, and which jobs wait for a newer version.
pub(super) async fn report(window: Window, pool: Db, seconds: u32, over: CancellationToken) {
    let every = Duration::from_secs(seconds.into());
    over.run_until_cancelled(watch_database(&pool)).await;
    while over.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        over.run_until_cancelled(watch_database(&pool)).await;
        let (Load { held, connected, in_hand, in_hand_bytes, .. }, usage) = (window.load(), Usage::now());
        tracing::info!(
            held,
            connected,
            in_hand,
            in_hand_bytes,
            memory_mb = usage.memory / 1_000_000,
            descriptors = usage.descriptors,
            cpu_seconds = usage.processor.as_secs(),
            "resources"
        );
        let session_kinds = session_work::KINDS.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
        let unknown = sqlx::query_file_scalar!(
            "sql/jobs/unknown_kinds.sql",
            &session_kinds,
            &maintenance::MaintenanceKind::names()
        );
        match over.run_until_cancelled(unknown.fetch_all(&pool)).await {
            Some(Ok(kinds)) if !kinds.is_empty() => {
                tracing::warn!(?kinds, "jobs of unknown kinds found; they wait for a newer worker");
            }
            Some(Err(error)) => tracing::warn!(%error, "jobs of unknown kinds not counted"),
            _ => {}
        }
    }
}

/// Reads what an application can do to the server as a whole: fill the queue of notifications, and keep a transaction
/// open.
async fn watch_database(pool: &Db) {
    match sqlx::query_file!("sql/worker/watch_database.sql").fetch_one(pool).await {
        Ok(found) => telemetry::database(found.queue, found.seconds.unwrap_or_default()),
        Err(error) => tracing::warn!(%error, "queue of notifications and open transactions not read"),
    }
}

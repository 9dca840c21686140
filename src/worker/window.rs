//! What a running worker shows, for `/health`, `/metrics` and the log.

use crate::db::Db;
use crate::jobs::lanes::Lanes;
use crate::jobs::unwritten::Unwritten;
use crate::jobs::{Ready, maintenance, session_work};
use crate::session::registry::{HeldSession, Sessions};
use crate::telemetry::{Load, Usage};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
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
    pub(super) beat: Beat,
    /// The length of the worker's lease.
    pub(super) lease: Duration,
}

/// The last successful heartbeat.
#[derive(Debug, Clone)]
pub(super) struct Beat(Arc<Mutex<Instant>>);

impl Default for Beat {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Beat {
    /// A heartbeat succeeded.
    pub(super) fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn age(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
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

    /// Whether the worker does what its phase says: a heartbeat succeeded within the last lease, or the worker knows that
    /// the database does not answer, or drains. A worker whose heartbeat has silently ended is not well.
    #[must_use]
    pub fn is_well(&self) -> bool {
        *self.phase.borrow() != Phase::Working || self.beat.age() < self.lease
    }

    /// Whether outcomes and receipts of all sessions wait behind a batch that cannot be written.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.view.get().is_some_and(|shown| shown.unwritten.stuck() > STUCK)
    }
}

/// Sets the phase by whether the database answers, while the worker works; a heartbeat that it answers is a `beat`.
pub(super) fn reachable(phase: watch::Sender<Phase>, beat: Beat) -> impl Fn(bool) {
    move |answers| {
        if answers {
            beat.now();
        }
        let (from, to) = if answers { (Phase::Waiting, Phase::Working) } else { (Phase::Working, Phase::Waiting) };
        phase.send_if_modified(|phase| *phase == from && std::mem::replace(phase, to) == from);
    }
}

/// Logs at an interval what the process uses and has to do, and which jobs wait for a newer version.
pub(super) async fn report(window: Window, pool: Db, seconds: u32, over: CancellationToken) {
    let every = Duration::from_secs(seconds.into());
    while over.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h10_a_worker_whose_heartbeat_has_ended_is_well_only_while_it_knows_why() {
        let (phase, lease, beat) = (watch::Sender::new(Phase::Working), Duration::from_secs(15), Beat::default());
        let window = Window {
            ready: Ready::default(),
            phase: phase.subscribe(),
            view: View::default(),
            beat: beat.clone(),
            lease,
        };
        assert!(window.is_well());
        let long_ago = Instant::now().checked_sub(lease);
        *beat.0.lock().unwrap_or_else(PoisonError::into_inner) = long_ago.unwrap_or_else(Instant::now);
        assert!(!window.is_well());
        let answers = reachable(phase.clone(), beat);
        answers(false);
        assert!(window.is_well(), "it waits for the database");
        phase.send_replace(Phase::Working);
        assert!(!window.is_well());
        answers(true);
        assert!(window.is_well());
    }
}

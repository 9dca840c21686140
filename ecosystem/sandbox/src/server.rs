//! The state that all connections, phones and control requests share.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::Options;
use super::ca::Authority;
use super::changes::{Changes, Guard, Watched};
use super::faults::Faults;
use super::ledger::Ledger;
use super::media::Media;
use super::phone::Pace;
use super::state::State;
use super::stats::Stats;

/// One running sandbox.
pub(super) struct Server {
    /// Distinguishes this sandbox from an earlier one at the same address.
    pub(super) name: Uuid,
    state: Watched<State>,
    pub(super) changes: Arc<Changes>,
    pub(super) authority: Authority,
    pub(super) stats: Stats,
    pub(super) ledger: Arc<Ledger>,
    pub(super) media: Media,
    pub(super) faults: Faults,
    pub(super) pace: Pace,
    pub(super) distance: Duration,
    pub(super) tasks: TaskTracker,
    /// The tasks that read from clients; they end before all others.
    pub(super) readers: TaskTracker,
    pub(super) doors: CancellationToken,
    pub(super) stop: CancellationToken,
    sequence: AtomicU64,
}

impl Server {
    pub(super) fn new(options: &Options, authority: Authority, media: Media, sequence: u64) -> Arc<Self> {
        let ledger = Arc::new(Ledger::new(options.ledger_limit));
        let changes: Arc<Changes> = Arc::default();
        let state = State::new(Arc::clone(&ledger), Arc::clone(&changes));
        let stop = CancellationToken::new();
        Arc::new(Self {
            name: Uuid::new_v4(),
            state: Watched::new(state, &changes, ["/phones", "/groups", "/qr"]),
            ledger,
            stats: Stats::new(&changes),
            authority,
            media,
            faults: Faults::new(options.seed, &changes),
            changes,
            pace: options.pace,
            distance: options.distance,
            tasks: TaskTracker::new(),
            readers: TaskTracker::new(),
            doors: stop.child_token(),
            stop,
            sequence: AtomicU64::new(sequence),
        })
    }

    /// Locks the state. Never held over an await or during encryption.
    pub(super) fn state(&self) -> Guard<'_, State> {
        self.state.lock()
    }

    /// A number that is unique in this sandbox.
    pub(super) fn next(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// The next number of [`Self::next`].
    pub(super) fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// A new id for a stanza of the server.
    pub(super) fn stanza_id(&self) -> String {
        format!("sandbox-{}", self.next())
    }

    /// Accepts or reads from clients, until the future ends or shutdown starts.
    pub(super) async fn while_open<T>(&self, reading: impl Future<Output = T>) -> Option<T> {
        let _counted = self.readers.token();
        self.doors.run_until_cancelled(reading).await
    }

    /// Runs a task until it ends or the sandbox stops.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }
}

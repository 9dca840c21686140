//! What every connection, phone and control request shares.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ca::Authority;
use super::faults::Faults;
use super::ledger::Ledger;
use super::phone::Pace;
use super::state::State;
use super::stats::Stats;
use super::{Options, SandboxError};

/// One running sandbox.
pub(super) struct Server {
    state: Mutex<State>,
    pub(super) authority: Authority,
    pub(super) stats: Stats,
    pub(super) ledger: Arc<Ledger>,
    pub(super) faults: Faults,
    pub(super) pace: Pace,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    sequence: AtomicU64,
}

impl Server {
    pub(super) fn new(options: &Options) -> Result<Arc<Self>, SandboxError> {
        let ledger = Arc::new(Ledger::new(options.ledger_limit));
        Ok(Arc::new(Self {
            state: Mutex::new(State::new(Arc::clone(&ledger))),
            ledger,
            authority: Authority::new()?,
            stats: Stats::default(),
            faults: Faults::new(options.seed),
            pace: options.pace,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            sequence: AtomicU64::new(1),
        }))
    }

    /// The state. Never held over an await, and never while a phone works: encryption happens outside.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not take every other connection with it; each change of the state is complete in itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that nothing else in this sandbox has.
    pub(super) fn next(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// A new id for a stanza that the server itself sends.
    pub(super) fn stanza_id(&self) -> String {
        format!("sandbox-{}", self.next())
    }

    /// Runs a task until it ends or the sandbox stops.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }
}

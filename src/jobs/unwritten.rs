//! How long what happened to messages has been waiting to be written.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The batches that are taken from the queue and not written yet. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Unwritten(Arc<Mutex<Vec<Taken>>>);

#[derive(Debug)]
struct Taken {
    since: Instant,
    /// Every other batch waits for it. One that is written in pieces holds up none.
    blocks: bool,
}

impl Unwritten {
    /// How long the oldest of them has been waiting; zero when there is none.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.lock().iter().map(|taken| taken.since.elapsed()).max().unwrap_or_default()
    }

    /// How long a batch has held up all others; zero when none does.
    #[must_use]
    pub fn stuck(&self) -> Duration {
        self.lock().iter().filter(|taken| taken.blocks).map(|taken| taken.since.elapsed()).max().unwrap_or_default()
    }

    pub(super) fn begin(&self) -> UnwrittenBatch {
        let since = Instant::now();
        self.lock().push(Taken { since, blocks: true });
        UnwrittenBatch { all: self.clone(), since }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Taken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the unwritten batches, until it is dropped.
pub(super) struct UnwrittenBatch {
    all: Unwritten,
    since: Instant,
}

impl UnwrittenBatch {
    /// From now on it holds up no other batch.
    pub(super) fn unblock(&self) {
        let mut all = self.all.lock();
        if let Some(taken) = all.iter_mut().find(|taken| taken.since == self.since) {
            taken.blocks = false;
        }
    }
}

impl Drop for UnwrittenBatch {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(at) = all.iter().position(|taken| taken.since == self.since) {
            all.swap_remove(at);
        }
    }
}

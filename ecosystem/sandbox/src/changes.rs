//! Change notification: a lock that announces changes, and listeners that receive them.
//!
//! A subject is the path of the control API whose answer may have changed, such as `/phones/15550001/messages`.
//! [`Watched`] announces a change by itself whenever its value was borrowed mutably, so that no change can be
//! forgotten; it may also announce one that changed nothing. A listener learns only that there were changes since its
//! last read: several changes between two reads count as one. A new listener therefore reads everything first.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The shortest time between two answers to a listener: faster changes are grouped into one answer.
const BREATH: Duration = Duration::from_millis(50);

/// For each subject, the number of its latest change.
#[derive(Debug, Default)]
struct Log {
    now: u64,
    last: BTreeMap<Arc<str>, u64>,
}

/// Announces changes to listeners.
#[derive(Debug, Default)]
pub(super) struct Changes(watch::Sender<Log>);

impl Changes {
    /// Announces that the answers of some paths may have changed.
    pub(super) fn announce(&self, subjects: impl IntoIterator<Item = Arc<str>>) {
        // There is hardly ever a listener, and every stanza comes through here.
        if self.0.receiver_count() == 0 {
            return;
        }
        self.0.send_modify(|log| {
            log.now += 1;
            for subject in subjects {
                log.last.insert(subject, log.now);
            }
        });
    }

    /// A listener for all changes from now on.
    pub(super) fn listen(&self) -> Listener {
        let mut log = self.0.subscribe();
        let seen = log.borrow_and_update().now;
        Listener { log, seen, rested: Instant::now() }
    }
}

/// Receives changes.
pub(super) struct Listener {
    log: watch::Receiver<Log>,
    seen: u64,
    rested: Instant,
}

impl Listener {
    /// Waits for changes, and returns the subjects that changed since the last call. `None` when there will be no more.
    pub(super) async fn next(&mut self) -> Option<Vec<Arc<str>>> {
        tokio::time::sleep_until(self.rested).await;
        self.log.changed().await.ok()?;
        let log = self.log.borrow_and_update();
        let changed = log.last.iter().filter(|(_, at)| **at > self.seen).map(|(subject, _)| Arc::clone(subject));
        let changed = changed.collect();
        self.seen = log.now;
        self.rested = Instant::now() + BREATH;
        Some(changed)
    }
}

/// A value behind a lock that announces its changes.
#[derive(Debug)]
pub(super) struct Watched<T> {
    value: Mutex<T>,
    changes: Arc<Changes>,
    subjects: Vec<Arc<str>>,
}

impl<T> Watched<T> {
    pub(super) fn new<S: Into<Arc<str>>>(
        value: T,
        changes: &Arc<Changes>,
        subjects: impl IntoIterator<Item = S>,
    ) -> Self {
        let subjects = subjects.into_iter().map(Into::into).collect();
        Self { value: Mutex::new(value), changes: Arc::clone(changes), subjects }
    }

    pub(super) fn lock(&self) -> Guard<'_, T> {
        // A panic in one task must not stop the others; each change is complete in itself.
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        Guard { value, changed: false, watched: self }
    }
}

/// The locked value.
pub(super) struct Guard<'a, T> {
    value: MutexGuard<'a, T>,
    changed: bool,
    watched: &'a Watched<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // The lock is still held here, which does no harm: a listener that reads at once waits for the lock.
        if self.changed {
            self.watched.changes.announce(self.watched.subjects.iter().cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn x3_changes_are_announced_once_and_reads_never() {
        let changes = Arc::new(Changes::default());
        let one = Watched::new(1, &changes, ["/one"]);
        let two = Watched::new(2, &changes, ["/two"]);
        *one.lock() += 1;
        let mut listener = changes.listen();
        *two.lock() += 1;
        *two.lock() += 1;
        assert_eq!((*one.lock(), *two.lock()), (2, 4));
        assert_eq!(listener.next().await, Some(vec![Arc::from("/two")]));
        *one.lock() += 1;
        assert_eq!(listener.next().await, Some(vec![Arc::from("/one")]));
        drop((one, two, changes));
        assert_eq!(listener.next().await, None);
    }
}

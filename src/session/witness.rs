//! What a worker process remembers of its database, from life to life (R7).
//!
//! A restored snapshot of a volume looks like the database that it was. But the heartbeats that this process has seen
//! committed since the snapshot are not in it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// The memory of one process.
#[derive(Debug)]
pub struct Witness {
    id: Uuid,
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    home: i64,
    beats: i64,
}

impl Default for Witness {
    /// Has seen nothing yet.
    fn default() -> Self {
        Self { id: Uuid::new_v4(), seen: Mutex::default() }
    }
}

impl Witness {
    /// `wa.witness.witness`.
    pub(super) const fn id(&self) -> Uuid {
        self.id
    }

    /// `wa.auth_home.home` and `wa.witness.beats` as this process last saw them.
    pub(super) fn seen(&self) -> (Option<i64>, Option<i64>) {
        self.lock().map(|seen| (seen.home, seen.beats)).unzip()
    }

    /// A worker is about to register in this home.
    pub(super) fn enter(&self, home: i64) {
        let mut seen = self.lock();
        let beats = seen.map_or(0, |seen| seen.beats);
        *seen = Some(Seen { home, beats });
    }

    /// Remembers a heartbeat. False when the database does not know earlier ones any more.
    pub(super) fn count(&self, beats: i64) -> bool {
        let mut seen = self.lock();
        let Some(seen) = seen.as_mut() else { return true };
        let forward = beats > seen.beats;
        // One more than the database has, so that it is known to have gone back also when it counts the same number again.
        seen.beats = if forward { beats } else { seen.beats + 1 };
        forward
    }

    fn lock(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r7_a_process_notices_heartbeats_that_are_gone() {
        let witness = Witness::default();
        assert_eq!(witness.seen(), (None, None));
        witness.enter(7);
        assert!(witness.count(1) && witness.count(3));
        assert!(!witness.count(2), "the third heartbeat is gone");
        assert_eq!(witness.seen(), (Some(7), Some(4)));
        assert!(!witness.count(4), "another heartbeat is counted a second time");
        witness.enter(8);
        assert_eq!(witness.seen(), (Some(8), Some(5)));
    }
}

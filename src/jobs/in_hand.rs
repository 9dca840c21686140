//! Which claimed rows this process has in hand, to compare with the rows that say so (R11).
//!
//! A claimed job carries a [`Hand`]. The job is in hand until the last clone of it is dropped, wherever that happens:
//! after its outcome is written, or when that failed, or when a task ended early.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The error of an attempt that is given back, because its row says that this process runs it and it is not in hand.
pub const NOT_IN_HAND: &str = "the answer to its claim was lost, or its outcome was refused";

/// The rows of one table that this process has in hand. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct InHand(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// How many hands each row is in: a row may be claimed again before the last clone of its earlier claim is dropped.
    rows: Mutex<HashMap<i64, usize>>,
    /// The rows whose jobs only wait.
    waiting: Mutex<HashSet<i64>>,
    claim: Arc<tokio::sync::Mutex<()>>,
}

/// Held during a claim, from before its statement until its rows are in hand. While somebody else holds it, no claim is
/// on its way.
#[derive(Debug)]
#[must_use]
pub struct ClaimTurn {
    _turn: tokio::sync::OwnedMutexGuard<()>,
}

/// A claimed row in hand.
#[derive(Debug, Clone)]
pub struct Hand {
    row: Arc<Row>,
}

/// While it lives, a job only waits and needs no place.
#[derive(Debug)]
#[must_use]
pub struct Wait(Option<Hand>);

#[derive(Debug)]
struct Row {
    id: i64,
    of: InHand,
}

impl InHand {
    /// Waits until no claim is on its way, and keeps others from beginning.
    pub async fn turn(&self) -> ClaimTurn {
        ClaimTurn { _turn: self.0.claim.clone().lock_owned().await }
    }

    /// Takes a claimed row in hand.
    #[must_use]
    pub fn take(&self, id: i64) -> Hand {
        *self.lock().entry(id).or_default() += 1;
        Hand { row: Arc::new(Row { id, of: self.clone() }) }
    }

    /// Whether a row is in hand.
    #[must_use]
    pub fn has(&self, id: i64) -> bool {
        self.lock().contains_key(&id)
    }

    /// Whether the job of a row only waits.
    #[must_use]
    pub fn waits(&self, id: i64) -> bool {
        self.waiting().contains(&id)
    }

    /// The rows in hand.
    #[must_use]
    pub fn ids(&self) -> Vec<i64> {
        self.lock().keys().copied().collect()
    }

    fn waiting(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, usize>> {
        self.0.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hand {
    /// The job only waits from here on, unless so many (`most`) wait already.
    pub fn wait(&self, most: usize) -> Wait {
        let mut waiting = self.row.of.waiting();
        Wait((waiting.len() < most && waiting.insert(self.row.id)).then(|| self.clone()))
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(Hand { row }) = &self.0 {
            row.of.waiting().remove(&row.id);
        }
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let mut rows = self.of.lock();
        if let Some(hands) = rows.get_mut(&self.id) {
            *hands -= 1;
            if *hands == 0 {
                rows.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r11_a_row_is_in_hand_until_the_last_clone_of_its_last_claim_is_dropped() {
        let rows = InHand::default();
        let first = rows.take(7);
        let again = rows.take(7);
        let clone = again.clone();
        drop((first, again));
        assert!(rows.has(7) && rows.ids() == [7]);
        drop(clone);
        assert!(!rows.has(7) && rows.ids().is_empty());
    }

    #[test]
    fn r9_a_job_that_only_waits_needs_no_place_and_only_so_many_may_wait() {
        let rows = InHand::default();
        let (first, second) = (rows.take(1), rows.take(2));
        let wait = first.wait(1);
        let refused = second.wait(1);
        assert!(rows.waits(1) && !rows.waits(2));
        drop((wait, refused));
        assert!(!rows.waits(1) && rows.has(1) && rows.has(2));
    }
}

//! Which claimed rows this process has in hand, to compare with the rows that say so (R11).
//!
//! A claimed job carries a [`Hand`]. The job is in hand until the last clone of it is dropped, wherever that happens:
//! after its outcome is written, or when that failed, or when a task ended early.

use std::collections::HashMap;
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
    _row: Arc<Row>,
}

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
        Hand { _row: Arc::new(Row { id, of: self.clone() }) }
    }

    /// Whether a row is in hand.
    #[must_use]
    pub fn has(&self, id: i64) -> bool {
        self.lock().contains_key(&id)
    }

    /// The rows in hand.
    #[must_use]
    pub fn ids(&self) -> Vec<i64> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, usize>> {
        self.0.rows.lock().unwrap_or_else(PoisonError::into_inner)
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
}

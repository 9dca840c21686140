//! What wakes the loops of a worker. A ring carries no data: whoever is woken looks for work, and a lost or doubled ring costs
//! only time.

use std::sync::Arc;
use tokio::sync::Notify;

/// The bells of one life of a worker. Clones are the same bells.
#[derive(Debug, Clone, Default)]
pub struct Bells {
    /// The dispatcher claims: rows may have been inserted or become due.
    pub claim: Arc<Notify>,
    /// A session has connected. Rings [`Bells::claim`] once for all that connect within a moment.
    pub connected: Arc<Notify>,
    /// Messages are in hand no more: lanes and room are free.
    pub freed: Arc<Notify>,
    /// A schedule has changed.
    pub cron: Arc<Notify>,
    /// There may be a session to adopt.
    pub reconcile: Arc<Notify>,
    /// The health of the sessions is to be checked.
    pub check: Arc<Notify>,
}

impl Bells {
    /// Everything may have changed.
    pub fn ring_all(&self) {
        for bell in [&self.claim, &self.cron, &self.reconcile] {
            bell.notify_one();
        }
    }
}

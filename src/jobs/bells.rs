//! What wakes the loops of a worker. A ring carries no data: the woken loop looks for work, so a lost or repeated ring
//! costs only time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// The bells of one life of a worker. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Bells {
    /// Wakes the dispatcher: rows may have been inserted or become due.
    pub claim: Arc<Notify>,
    /// Wakes the dispatcher: messages of some sessions were inserted.
    pub messages: Arc<SessionBell>,
    /// A session has connected. Rings [`Bells::claim`], once for all that connect within a moment.
    pub connected: Arc<Notify>,
    /// Wakes the dispatcher: messages are no longer in hand, so lanes and room are free.
    pub freed: Arc<Notify>,
    /// Wakes cron: a schedule has changed.
    pub cron: Arc<Notify>,
    /// Wakes the reconciler: there may be a session to adopt.
    pub reconcile: Arc<Notify>,
    /// Wakes the health check.
    pub check: Arc<Notify>,
    /// Wakes the webhooks: something waits to be delivered.
    pub webhooks: Arc<Notify>,
    /// A webhook was added or changed, or asks for a replay.
    pub webhook_settings: Arc<Notify>,
    /// A call to the partner waits.
    pub partner: Arc<Notify>,
}

/// A bell that says which sessions it rings for.
#[derive(Debug, Default)]
pub struct SessionBell {
    rung: Notify,
    sessions: Mutex<HashSet<i64>>,
}

impl SessionBell {
    /// Rings for a session.
    pub fn ring(&self, session_id: i64) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(session_id);
        self.rung.notify_one();
    }

    /// Waits until it has rung.
    pub async fn rung(&self) {
        self.rung.notified().await;
    }

    /// The sessions for which it has rung since the last call.
    #[must_use]
    pub fn take(&self) -> HashSet<i64> {
        std::mem::take(&mut self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Bells {
    /// Rings for everything that may have changed unnoticed.
    pub fn ring_all(&self) {
        for bell in [&self.claim, &self.cron, &self.reconcile, &self.webhook_settings, &self.partner] {
            bell.notify_one();
        }
    }
}

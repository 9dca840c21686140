//! The worker's own proof that it lives: its last heartbeat that succeeded (P6).
//!
//! When the connection of a worker's heartbeat is gone, others take its sessions [`TAKEN`] after its last heartbeat. The
//! worker may live, and need not know that the connection is gone. So by its own clock it begins nothing that a second holder
//! must not do at the same time, once its last heartbeat is older than [`FRESH`]. When a heartbeat succeeds, it goes on; when
//! it has lost its lease, the session is cut and whatever waits here ends with it.

use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// For how long after its last heartbeat a worker begins to send.
pub const FRESH: Duration = Duration::from_secs(2);
/// How long after the last heartbeat of a worker whose connection is gone others take its sessions. The difference is the
/// time for what had begun.
pub const TAKEN: Duration = Duration::from_secs(3);

/// When the worker last proved that it lives. Clones share it. By default nothing has to be proven.
#[derive(Debug, Clone, Default)]
pub struct Proof(Option<Arc<watch::Sender<Instant>>>);

impl Proof {
    /// A proof that has to be renewed, proven at `began`, the beginning of the statement.
    #[must_use]
    pub fn since(began: Instant) -> Self {
        Self(Some(Arc::new(watch::Sender::new(began))))
    }

    /// A heartbeat that began then has succeeded.
    pub fn renew(&self, began: Instant) {
        if let Some(proven) = &self.0 {
            proven.send_replace(began);
        }
    }

    /// Waits until the worker has proven that it lives.
    pub async fn fresh(&self) {
        let Some(proven) = &self.0 else { return };
        // Returns when it is fresh; the sender lives as long as this.
        let _ = proven.subscribe().wait_for(|began| began.elapsed() < FRESH).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn p6_what_has_no_fresh_heartbeat_waits_for_the_next_one() {
        let old = Instant::now().checked_sub(FRESH).expect("a machine that has run for seconds");
        let proof = Proof::since(old);
        let waits = proof.fresh();
        tokio::pin!(waits);
        assert!(waits.as_mut().now_or_never().is_none());
        proof.renew(old);
        assert!(waits.as_mut().now_or_never().is_none(), "this one is as old");
        proof.renew(Instant::now());
        assert!(waits.now_or_never().is_some());
        assert!(Proof::default().fresh().now_or_never().is_some());
    }
}

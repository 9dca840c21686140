//! The worker's own proof that it lives: its last heartbeat that succeeded (P6, R4).
//!
//! When the connection of a worker's heartbeat is gone, others take its sessions [`TAKEN`] after its last heartbeat, and
//! otherwise when its lease has expired. The worker may live, and need not know. So by its own clock it sends nothing once its
//! last heartbeat is older than [`FRESH`], or than the part of the lease after which it gives up. When a heartbeat succeeds, it
//! goes on; when it has lost its lease, the session is cut and whatever waits here ends with it.
//!
//! The clock is looked at before each frame that leaves a socket, so it does not matter which task runs first in a process
//! that was frozen.

use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// For how long after its last heartbeat a worker sends, if others see by its connection that it is gone.
pub const FRESH: Duration = Duration::from_secs(2);
/// How long after the last heartbeat of a worker whose connection is gone others take its sessions. The difference is the
/// time for what is on its way. `wa.move_home` waits as long after a failover.
pub const TAKEN: Duration = Duration::from_secs(3);

/// The clock that counts while the machine is suspended, where there is one.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// A moment of a clock that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        let now = clock_gettime(CLOCK);
        // Neither is ever negative.
        let seconds = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or_default());
        Self(seconds + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or_default()))
    }

    /// The start of the machine.
    #[cfg(test)]
    pub(crate) const fn long_ago() -> Self {
        Self(Duration::ZERO)
    }

    /// The time since then.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

/// When the worker last proved that it lives. Clones share it. By default nothing has to be proven.
#[derive(Debug, Clone, Default)]
pub struct Proof(Option<Arc<Proven>>);

#[derive(Debug)]
struct Proven {
    lasts: Duration,
    began: watch::Sender<Moment>,
}

impl Proof {
    /// A proof that lasts so long, proven at `began`, the beginning of the statement.
    #[must_use]
    pub fn since(began: Moment, lasts: Duration) -> Self {
        Self(Some(Arc::new(Proven { lasts, began: watch::Sender::new(began) })))
    }

    /// A heartbeat that began then has succeeded.
    pub fn renew(&self, began: Moment) {
        if let Some(proven) = &self.0 {
            proven.began.send_replace(began);
        }
    }

    /// Waits until the worker has proven that it lives.
    pub async fn fresh(&self) {
        let Some(proven) = &self.0 else { return };
        let is_fresh = |began: &Moment| began.elapsed() < proven.lasts;
        if is_fresh(&proven.began.borrow()) {
            return;
        }
        // Returns when it is fresh; the sender lives as long as this.
        let _ = proven.began.subscribe().wait_for(is_fresh).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn p6_what_has_no_fresh_heartbeat_waits_for_the_next_one() {
        let old = Moment::long_ago();
        let proof = Proof::since(old, FRESH);
        let waits = proof.fresh();
        tokio::pin!(waits);
        assert!(waits.as_mut().now_or_never().is_none());
        proof.renew(old);
        assert!(waits.as_mut().now_or_never().is_none(), "this one is as old");
        proof.renew(Moment::now());
        assert!(waits.now_or_never().is_some());
        assert!(Proof::default().fresh().now_or_never().is_some());
    }
}

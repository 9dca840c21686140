//! The sessions of this worker as [`Comparison`](crate::session::comparison::Comparison) sees them: which of them are in
//! hand, and what happens to the others.

use super::{Entry, Sessions};
use crate::db::fence::Fence;
use crate::session::ending::Ended;
use crate::session::error::SessionError;
use crate::session::leave::Leave;
use crate::session::row;
use crate::session::running::Running;
use crate::session::status::Status;
use crate::session::unlink::renewed;
use std::sync::Arc;

/// Why a session without a connection is connected again, or released.
const REASON: &str = "nothing was left of its last connection";

/// A lease of this worker without a connection, and without a job that makes or ends one.
#[derive(Debug, Clone)]
pub struct IdleLease {
    /// The session and its epoch.
    pub fence: Fence,
    /// `wa.session.name`.
    pub session: String,
    /// Whether the session should be connected.
    pub wished: bool,
    /// Whether the device is linked.
    pub linked: bool,
    /// Whether WhatsApp has banned the account for a time.
    pub banned: bool,
}

impl Sessions {
    /// The sessions that have a connection, or of which one is being made or ended, and those that the caller has marked
    /// as ready.
    #[must_use]
    pub fn in_hand(&self) -> Vec<i64> {
        let busy = |entry: &Entry| match entry.running.try_lock() {
            Ok(running) => running.as_ref().is_some_and(|running| !running.task.is_finished()),
            // A job is at work.
            Err(_) => true,
        };
        let entries: Vec<Arc<Entry>> = self.lock().values().cloned().collect();
        let here = entries.iter().filter(|entry| busy(entry)).map(|entry| entry.held.hold.fence.session_id);
        here.chain(self.connections().ready().snapshot().0).collect()
    }

    /// The sessions that [`Sessions::count`] counts.
    #[must_use]
    pub fn entered(&self) -> Vec<Fence> {
        self.lock().values().map(|entry| entry.held.hold.fence).collect()
    }

    /// Queues the next connection of such a session, or releases it if it should not be connected.
    ///
    /// # Errors
    /// See [`SessionError`]. Does not wait for an application that has locked the session.
    pub async fn resume(&self, lease: &IdleLease) -> Result<(), SessionError> {
        let mut fence = lease.fence;
        if let Some(entry) = self.get(fence)
            && entry.held.hold.lost.is_cancelled()
        {
            // Its client was cut and may still write; a new epoch refuses that.
            fence = renewed(&entry.held.hold).await?.fence;
        }
        let entry = self.enter(fence, &lease.session).await;
        // A job that starts meanwhile waits.
        let running = entry.running.lock().await;
        if running.as_ref().is_some_and(Running::is_connected) {
            return Ok(());
        }
        if !lease.wished {
            // Once, because when an application has locked the session, the wish may be another one afterwards.
            let released = Leave::stopped(Status::Stopped, REASON).write(&entry.held.hold).await?;
            self.remove(&entry);
            return if released { Ok(()) } else { Err(SessionError::Lost(fence.epoch)) };
        }
        let status = if lease.banned { Status::Banned } else { Status::Disconnected };
        let ended = Ended { reason: Some(REASON.to_owned()), ..Ended::lost(lease.linked) };
        if !row::write_lost(&entry.held, &ended, status, None).await? {
            return Err(SessionError::Lost(fence.epoch));
        }
        self.reports.bells.claim.notify_one();
        Ok(())
    }

    /// Cuts a session whose lease this worker does not hold any more.
    pub fn cut(&self, fence: Fence) {
        let Some(entry) = self.get(fence) else { return };
        self.lock().remove(&fence.session_id);
        self.connections().close(fence);
        entry.held.hold.lost.cancel();
    }

    /// Starts a task that the end of the worker waits for.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.reports.tasks.spawn(task);
    }
}

//! How a session leaves this worker.

use super::ending::Ended;
use super::status::Status;
use crate::db::fence::Fence;
use crate::db::hold::Hold;
use crate::db::storable::Storable;

/// What the statement that releases a lease writes of the session.
#[derive(Clone, Copy)]
pub(super) struct Leave<'a> {
    pub(super) status: Status,
    pub(super) reason: &'a str,
    /// Nobody connects it until asked.
    pub(super) stops: bool,
    /// The row forgets the identity of the device.
    pub(super) forgets: bool,
    /// A link is queued, because somebody has asked for one; then the session does not stop.
    pub(super) relinks: bool,
    /// The end that nobody asked for, for the event.
    pub(super) ended: Option<&'a Ended>,
}

impl<'a> Leave<'a> {
    /// To any worker that has room.
    pub(super) const fn to_others(reason: &'a str) -> Self {
        Self { status: Status::Disconnected, reason, stops: false, forgets: false, relinks: false, ended: None }
    }

    /// Nobody connects the session; it stays linked.
    pub(super) const fn stopped(status: Status, reason: &'a str) -> Self {
        Self { status, reason, stops: true, forgets: false, relinks: false, ended: None }
    }

    /// The device is no longer linked.
    pub(super) const fn unlinked(reason: &'a str) -> Self {
        Self { forgets: true, ..Self::stopped(Status::LoggedOut, reason) }
    }

    /// Because of this end.
    pub(super) const fn after(self, ended: &'a Ended) -> Self {
        Self { ended: Some(ended), ..self }
    }

    /// Releases the lease and writes the status, in one statement. Returns whether the epoch still held.
    pub(super) async fn write(&self, under: &Hold) -> sqlx::Result<bool> {
        let Fence { session_id, epoch } = under.fence;
        let (reason, shown) = (Storable::error(self.reason), self.ended.map(|ended| ended.why.shown()));
        sqlx::query_file_scalar!(
            "sql/session/release.sql",
            session_id,
            epoch,
            self.status.name(),
            reason.as_str(),
            self.stops,
            self.forgets,
            self.relinks,
            shown.map(|shown| shown.name),
            self.ended.and_then(|ended| ended.code),
            shown.map(|shown| shown.advice)
        )
        .fetch_one(&under.db)
        .await
    }
}

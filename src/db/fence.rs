//! The fencing token that makes a write valid.
//!
//! A worker that holds a session got an epoch with it, and each new holder gets a higher one. Every write made for a
//! session names that epoch and checks it against `wa.lease` in the same statement, with `FOR SHARE`: whoever takes the
//! session over updates that row, and so waits until a write that is under way has ended; a write that comes later
//! finds another epoch and does nothing.

/// Under which hold of which session a write is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    /// `wa.session.session_id`.
    pub session_id: i64,
    /// `wa.lease.epoch` as it was when this worker became the holder.
    pub epoch: i64,
}

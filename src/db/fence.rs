//! The fencing token that makes a write valid.
//!
//! Each holder of a session gets an epoch, higher than the one before. Every write for a session names the holder's
//! epoch and checks it against `wa.lease` in the same statement, with `FOR SHARE`. A takeover updates that row, and so
//! waits until a write under way has ended; a later write finds another epoch and changes nothing.

/// The session and epoch of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    /// `wa.session.session_id`.
    pub session_id: i64,
    /// `wa.lease.epoch` when this worker became the holder.
    pub epoch: i64,
}

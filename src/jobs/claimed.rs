//! A claimed row of `wa.session_job`, as the claims of session jobs and of actions return it.

use super::SessionJob;
use super::in_hand::InHand;
use super::session_work::SessionWork;
use crate::db::fence::Fence;
use serde_json::Value;

/// The row, with the epoch of the claim.
pub(super) struct ClaimedSessionJob {
    pub(super) id: i64,
    pub(super) session: String,
    pub(super) session_id: i64,
    pub(super) epoch: i64,
    pub(super) kind: String,
    pub(super) reason: Option<String>,
    pub(super) args: Value,
    pub(super) attempts: i32,
    pub(super) scheduled: bool,
}

impl ClaimedSessionJob {
    /// Takes the row in hand.
    pub(super) fn into_job(self, in_hand: &InHand) -> SessionJob {
        SessionJob {
            fence: Fence { session_id: self.session_id, epoch: self.epoch },
            id: self.id,
            session: self.session,
            work: SessionWork::read(&self.kind, &self.args),
            kind: self.kind,
            reason: self.reason,
            attempts: self.attempts,
            scheduled: self.scheduled,
            hand: in_hand.take(self.id),
        }
    }
}

//! What happens to a message, as the progress writer takes it.

use super::JobError;
use super::failure::FailureClass;
use crate::db::fence::Fence;
use crate::db::storable::Storable;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// How far a message has come. Each state includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// The server has acknowledged it.
    Sent,
    /// A device of the recipient has received it.
    Delivered,
    /// The recipient has seen it.
    Read,
    /// The recipient has played it.
    Played,
}

impl Reached {
    /// Its name in SQL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
        }
    }
}

/// The outcome of an attempt to send a message. Of several in one batch, the last in this order counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attempt {
    /// The attempt takes long and is still under way.
    Sending,
    /// Nothing was tried; the message goes back to the queue.
    Release,
    /// The attempt failed; the next one follows after a backoff.
    Retry,
    /// The message expired before the attempt.
    Expired,
    /// The message cannot be sent.
    Failed,
}

impl Attempt {
    /// What becomes of the row of a message after this error.
    pub(super) fn after(error: &JobError) -> Self {
        match error {
            JobError::Permanent(_) => Self::Failed,
            JobError::Retry(_) => Self::Retry,
            JobError::Release(_) => Self::Release,
            JobError::Expired => Self::Expired,
            JobError::OfMessage(_, error) => Self::after(error),
        }
    }

    /// Its name in SQL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Release => "release",
            Self::Retry => "retry",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }
}

/// What a change reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// WhatsApp reported this state, at a time by its clock in whole seconds; `None` is now, by the database's clock.
    Reached(Reached, Option<DateTime<Utc>>),
    /// The outcome of an attempt.
    Attempt(Attempt),
}

impl Update {
    /// The name of the state or the outcome in SQL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reached(reached, _) => reached.name(),
            Self::Attempt(attempt) => attempt.name(),
        }
    }
}

/// A change of one message.
#[derive(Debug, Clone)]
pub struct Change {
    /// The session, and the epoch under which the change was received.
    pub fence: Fence,
    /// The WhatsApp message id.
    pub message_id: Storable,
    /// The state or the outcome.
    pub update: Update,
    /// The text for `wa.outbound.last_error`, if the attempt failed.
    pub error: Option<Storable>,
    /// The class of the failure, if the message fails with this attempt.
    pub failure: Option<FailureClass>,
    /// The number of the attempt, from 1, if this is its end.
    pub attempt: Option<i32>,
    /// `wa.outbound.id`, if the message is no longer in hand once this change is written.
    pub done: Option<i64>,
    /// How long the attempt has taken.
    pub duration: Option<Duration>,
    /// The recipient's JID, if the message went to more than one.
    pub participant: Option<Storable>,
    /// The row of the message has this change; only the receipt of the participant is left to write.
    pub receipt_only: bool,
}

impl Change {
    /// WhatsApp reports how far a message has come, and when.
    #[must_use]
    pub const fn reported(fence: Fence, message_id: Storable, reached: Reached, at: Option<DateTime<Utc>>) -> Self {
        Self::new(fence, message_id, Update::Reached(reached, at))
    }

    pub(super) const fn new(fence: Fence, message_id: Storable, update: Update) -> Self {
        Self {
            fence,
            message_id,
            update,
            error: None,
            failure: None,
            attempt: None,
            done: None,
            duration: None,
            participant: None,
            receipt_only: false,
        }
    }
}

//! The three job tables and the apalis workers over them.
//!
//! One [`claim::Dispatcher`] claims from all three tables and fills bounded feeds. An apalis worker drains each feed
//! through tower layers into its handler, with the configured concurrency. The outermost layer,
//! [`record::RecordLayer`], writes the outcome into the row. So apalis runs the work, and our own SQL knows about
//! holders, lanes and fencing. Leases and heartbeats never go through here.
//!
//! A claim of messages does not write their rows ([`outbound`]): only the session's holder claims them, and what the
//! holder has in hand is in its memory ([`lanes`]) and in `wa.sending`. One batched UPDATE writes their outcomes
//! ([`progress`]).
//!
//! What happened to messages is also counted, by session and time ([`numbers`]).
//!
//! Tenants and sessions share what a worker has little of by the rule of [`shares`].
//!
//! Promised: only the holder claims a row, a lane has one message under way, and an outcome is written once and only
//! under the epoch of the claim. Not promised: that a handler runs only once. If a worker dies between doing a job and
//! recording it, the job is done again; therefore messages carry their id from the start.

pub mod actions;
mod announcements;
pub mod bells;
pub mod change;
pub mod claim;
mod claimed;
pub mod connecting;
pub mod cron;
pub mod failure;
pub mod feed;
mod gate;
pub mod in_hand;
pub mod lanes;
mod look;
pub mod maintenance;
pub mod numbers;
pub mod outbound;
mod outcomes;
mod places;
pub mod progress;
mod read_paced;
mod read_plain;
mod reading;
pub mod record;
pub mod retry_loop;
mod rooms;
pub mod session_work;
pub mod shares;
pub mod stock;
pub mod unwritten;

use crate::db::fence::Fence;
use crate::message::content::ContentError;
use failure::FailureClass;
use in_hand::Hand;
use session_work::SessionWork;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A claimed row of `wa.outbound`.
#[derive(Debug, Clone)]
pub struct OutboundJob {
    /// The session, and the epoch of the claim.
    pub fence: Fence,
    /// `wa.outbound.id`.
    pub id: i64,
    /// `wa.session.name`.
    pub session: Arc<str>,
    /// `wa.session.tenant`.
    pub tenant: Arc<str>,
    /// The memory that the message takes, about, in bytes.
    pub bytes: usize,
    /// The recipient's JID.
    pub chat: Arc<str>,
    /// `wa.outbound.kind`, such as `text` or `image`.
    pub kind: String,
    /// The text, caption, question or emoji.
    pub body: Option<String>,
    /// The other fields that the kind takes.
    pub content: Option<serde_json::Value>,
    /// The WhatsApp message id, the same at every attempt.
    pub message_id: Arc<str>,
    /// The number of this attempt, from 1.
    pub attempts: i32,
    /// When the message expires.
    pub deadline: Option<Instant>,
    /// Show "typing…" to the recipient for a moment before sending.
    pub typing: bool,
    /// After how many seconds the messages of the chat disappear.
    pub timer: Option<u32>,
}

/// A claimed row of `wa.session_job`, whose session this worker holds.
#[derive(Debug, Clone)]
pub struct SessionJob {
    /// The session, and the epoch of the claim.
    pub fence: Fence,
    /// `wa.session_job.id`.
    pub id: i64,
    /// `wa.session.name`.
    pub session: String,
    /// `wa.session_job.kind`.
    pub kind: String,
    /// What the job asks for, or which of its arguments cannot be read.
    pub work: Result<SessionWork, String>,
    /// `wa.session_job.reason`, in the caller's words.
    pub reason: Option<String>,
    /// The number of this attempt, from 1.
    pub attempts: i32,
    /// The row was to run later than its INSERT, so that what it wants takes effect only now.
    pub scheduled: bool,
    /// Says that the row is in hand.
    pub hand: Hand,
}

/// A claimed row of `wa.maintenance_job`.
#[derive(Debug, Clone)]
pub struct MaintenanceJob {
    /// `wa.maintenance_job.id`.
    pub id: i64,
    /// `wa.maintenance_job.kind`.
    pub kind: maintenance::MaintenanceKind,
    /// `wa.maintenance_job.args`.
    pub args: serde_json::Value,
    /// The number of this attempt, from 1.
    pub attempts: i32,
    /// Says that the row is in hand.
    pub hand: Hand,
}

/// Why a handler did not do its job, which decides what happens to the row.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JobError {
    /// Retry after a backoff, until the row is out of attempts.
    #[error("{0}")]
    Retry(String),
    /// Back to the queue at once. The attempt does not count, because nothing was tried.
    #[error("{0}")]
    Release(String),
    /// Failed: another attempt cannot help.
    #[error("{0}")]
    Permanent(String),
    /// The row expired before the attempt.
    #[error("expires_at had passed")]
    Expired,
    /// One of these, as the failure of a message.
    #[error("{1}")]
    OfMessage(FailureClass, Box<Self>),
}

impl JobError {
    /// The same, as the failure of a message of this class. A class that is known already stays.
    #[must_use]
    pub fn of_class(self, class: FailureClass) -> Self {
        match self {
            known @ Self::OfMessage(..) => known,
            error => Self::OfMessage(class, Box::new(error)),
        }
    }

    /// The class of the failure. An error that nobody has classed, such as a panic, is the worker's own.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::OfMessage(class, _) => *class,
            _ => FailureClass::Worker,
        }
    }
}

impl From<ContentError> for JobError {
    /// Another attempt would read the same row.
    fn from(error: ContentError) -> Self {
        Self::Permanent(error.to_string())
    }
}

/// The sessions whose outbound rows this worker may claim now: held and connected.
#[derive(Debug, Clone, Default)]
pub struct Ready(Arc<Mutex<HashMap<i64, ReadySession>>>);

#[derive(Debug, Clone)]
struct ReadySession {
    epoch: i64,
    name: Arc<str>,
}

impl Ready {
    /// Marks a session as connected under this fence.
    pub fn insert(&self, fence: Fence, name: Arc<str>) {
        self.lock().insert(fence.session_id, ReadySession { epoch: fence.epoch, name });
    }

    /// Marks a session as not connected, unless it is connected under a later epoch.
    pub fn remove(&self, fence: Fence) {
        let mut map = self.lock();
        if map.get(&fence.session_id).is_some_and(|session| session.epoch == fence.epoch) {
            map.remove(&fence.session_id);
        }
    }

    /// Session ids and their epochs, as parallel arrays.
    #[must_use]
    pub fn snapshot(&self) -> (Vec<i64>, Vec<i64>) {
        self.lock().iter().map(|(id, session)| (*id, session.epoch)).unzip()
    }

    /// The name of a session; empty if it has just disconnected.
    #[must_use]
    pub fn name(&self, session_id: i64) -> Arc<str> {
        self.lock().get(&session_id).map(|session| session.name.clone()).unwrap_or_default()
    }

    /// How many sessions are connected.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, ReadySession>> {
        // A panic elsewhere cannot leave the map half changed, so a poisoned lock is safe to use.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

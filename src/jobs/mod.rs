//! The three job tables and the apalis workers over them.
//!
//! One [`claim::Dispatcher`] claims from all three tables and puts the rows into bounded feeds; an apalis worker drains
//! each feed through tower layers into its handler, as many at once as configured; the outermost layer,
//! [`record::RecordLayer`], writes what came of it back into the row. So apalis runs the work, and the SQL, which knows
//! about holders, lanes and fencing, is ours. Leases and heartbeats never go through here.
//!
//! Messages are claimed without writing their rows ([`outbound`]): only the holder of a session takes them, and what it has
//! in hand stands in its memory ([`lanes`]) and in `wa.sending`. Their outcome is one batched UPDATE ([`progress`]).
//!
//! What this promises: a row is claimed by the holder alone, a lane has one message on its way, an outcome is written
//! once and only under the epoch of the claim. What it does not: that a handler runs only once. A worker that dies
//! between doing and recording leaves the row to be done again, which is why messages carry their id from the start.

pub mod bells;
pub mod claim;
pub mod cron;
pub mod feed;
pub mod lanes;
pub mod maintenance;
pub mod outbound;
pub mod progress;
pub mod record;
pub mod session_work;
pub mod turns;

use crate::db::fence::Fence;
use crate::message::content::ContentError;
use session_work::SessionWork;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A claimed row of `wa.outbound`.
#[derive(Debug, Clone)]
pub struct OutboundJob {
    /// The hold under which it was claimed.
    pub fence: Fence,
    /// `wa.outbound.id`.
    pub id: i64,
    /// Name of the session.
    pub session: Arc<str>,
    /// The recipient's JID.
    pub chat: Arc<str>,
    /// What is to be sent.
    pub kind: String,
    /// The text, caption, question or emoji.
    pub body: Option<String>,
    /// What else the kind needs.
    pub content: Option<serde_json::Value>,
    /// The WhatsApp message id, the same at every attempt.
    pub message_id: Arc<str>,
    /// Which attempt this is, from 1.
    pub attempts: i32,
    /// It is of no use after this moment.
    pub deadline: Option<Instant>,
    /// Its recipient is to see "typing…" for a moment before it.
    pub typing: bool,
}

/// A claimed row of `wa.session_job`; the lease is ours.
#[derive(Debug, Clone)]
pub struct SessionJob {
    /// The hold under which it was claimed.
    pub fence: Fence,
    /// `wa.session_job.id`.
    pub id: i64,
    /// Name of the session.
    pub session: String,
    /// Its kind in SQL.
    pub kind: String,
    /// What it asks for, or which of its arguments cannot be read.
    pub work: Result<SessionWork, String>,
    /// Why, in the words of whoever asked.
    pub reason: Option<String>,
    /// Which attempt this is, from 1.
    pub attempts: i32,
}

/// A claimed row of `wa.maintenance_job`.
#[derive(Debug, Clone)]
pub struct MaintenanceJob {
    /// `wa.maintenance_job.id`.
    pub id: i64,
    /// What is to be done.
    pub kind: maintenance::Kind,
    /// The arguments of that kind.
    pub args: serde_json::Value,
    /// Which attempt this is, from 1.
    pub attempts: i32,
}

/// Why a handler did not do its job, and what becomes of the row.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JobError {
    /// Once more after a backoff, until the row is out of attempts.
    #[error("{0}")]
    Retry(String),
    /// Back into the queue at once, and the attempt does not count: nothing was tried.
    #[error("{0}")]
    Release(String),
    /// Never again: trying cannot help.
    #[error("{0}")]
    Permanent(String),
    /// It is too late for it.
    #[error("expires_at had passed")]
    Expired,
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
    /// The session of that name is connected under this fence.
    pub fn insert(&self, fence: Fence, name: Arc<str>) {
        self.lock().insert(fence.session_id, ReadySession { epoch: fence.epoch, name });
    }

    /// The session is not connected any more, unless under a later epoch.
    pub fn remove(&self, fence: Fence) {
        let mut map = self.lock();
        if map.get(&fence.session_id).is_some_and(|session| session.epoch == fence.epoch) {
            map.remove(&fence.session_id);
        }
    }

    /// Session ids and their epochs, side by side.
    #[must_use]
    pub fn snapshot(&self) -> (Vec<i64>, Vec<i64>) {
        self.lock().iter().map(|(id, session)| (*id, session.epoch)).unzip()
    }

    /// The name of a session; empty when it has just been disconnected.
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
        // A panic elsewhere cannot leave the map half changed, so a poisoned lock is as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

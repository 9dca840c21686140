//! A hold: one session in the hands of this worker, with its fence and its end.

use super::Db;
use super::fence::Fence;
use super::outage::{insist, outlast};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A hold of a session. Every task that acts for the session has a clone of the same hold.
#[derive(Debug, Clone)]
pub struct Hold {
    /// Session and epoch of this worker's writes.
    pub fence: Fence,
    /// `wa.session.name`.
    pub session: Arc<str>,
    /// Cancelled when the hold is lost. From then on nothing may be sent or written for the session.
    pub lost: CancellationToken,
    /// The database of the session's rows.
    pub db: Db,
}

impl Hold {
    /// A hold that is not lost.
    #[must_use]
    pub fn new(db: Db, fence: Fence, session: &str) -> Self {
        Self { fence, session: session.into(), lost: CancellationToken::new(), db }
    }

    /// The span of the session's log lines. It has no parent, because a connection outlives the job that made it.
    #[must_use]
    pub fn span(&self) -> tracing::Span {
        tracing::info_span!(parent: None, "session", session = &*self.session, epoch = self.fence.epoch)
    }

    /// The same hold under a new epoch. Writes under the earlier one are refused from now on.
    #[must_use]
    pub fn renewed(&self, epoch: i64) -> Self {
        Self { fence: Fence { epoch, ..self.fence }, ..self.clone() }
    }

    /// Runs a statement that may run twice. Waits out an outage of the database for as long as the hold lasts.
    ///
    /// # Errors
    /// The database's error, or the outage if the hold was lost during it.
    pub async fn ask<T, F>(&self, ask: impl FnMut() -> F) -> sqlx::Result<T>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        outlast(&self.lost, ask).await
    }

    /// Runs a fenced write until it is done or the hold is lost, whatever error the database returns. `write` returns
    /// whether the fence still stood; if it did not, the hold is lost.
    pub async fn write<F>(&self, write: impl FnMut() -> F)
    where
        F: Future<Output = sqlx::Result<bool>>,
    {
        match insist(&self.lost, write).await {
            Some(true) => {}
            Some(false) => self.lost.cancel(),
            None => tracing::warn!("hold lost; a change of the session was not written"),
        }
    }
}

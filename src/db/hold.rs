//! A hold: one session in the hands of this worker, with its fence and its end.

use super::Db;
use super::backoff::Backoff;
use super::fence::Fence;
use super::outage::{Failure, outlast_and_outwait};
use super::pieces::{PASSING, code};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often the database may refuse one write.
const REFUSALS: u32 = 3;

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

    /// Runs a statement that may run twice. Waits out an outage of the database, and an application that has locked what
    /// it needs, for as long as the hold lasts.
    ///
    /// # Errors
    /// The database's error; the outage or the lock if the hold was lost during it.
    pub async fn ask<T, F>(&self, ask: impl FnMut() -> F) -> sqlx::Result<T>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        outlast_and_outwait(&self.lost, ask).await
    }

    /// Runs a fenced write of something that this worker made until it is done or the hold is lost. `write` returns
    /// whether the fence still stood; if it did not, the hold is lost. A write that the database refuses is an error in
    /// the log.
    pub async fn write<F>(&self, write: impl FnMut() -> F)
    where
        F: Future<Output = sqlx::Result<bool>>,
    {
        if let Err(error) = self.try_write(write).await {
            tracing::error!(code = code(&error), "change of the session refused by the database; not written");
        }
    }

    /// The same for something that came from outside.
    ///
    /// # Errors
    /// The database refuses the write.
    pub async fn try_write<F>(&self, mut write: impl FnMut() -> F) -> sqlx::Result<()>
    where
        F: Future<Output = sqlx::Result<bool>>,
    {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        let (mut refusals, mut failing) = (0, None);
        loop {
            let error = match self.ask(&mut write).await {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    self.lost.cancel();
                    return Ok(());
                }
                Err(error) => error,
            };
            let failure = Failure::of(&error);
            refusals += u32::from(failure == Failure::Refusal);
            let passing = failure == Failure::Passing;
            if passing && failing.get_or_insert_with(Instant::now).elapsed() >= PASSING || refusals >= REFUSALS {
                return Err(error);
            }
            if self.lost.is_cancelled() || failure == Failure::Closed {
                tracing::warn!("hold lost; a change of the session was not written");
                return Ok(());
            }
            tracing::warn!(code = code(&error), "change of the session not written; retrying");
            self.lost.run_until_cancelled(backoff.sleep()).await;
        }
    }
}

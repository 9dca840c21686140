//! A session that this worker holds: under which fence, and until when.

use super::Db;
use super::fence::Fence;
use super::outage::{insist, outlast};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A hold of a session. Everything that acts for the session has one; clones are the same hold.
#[derive(Debug, Clone)]
pub struct Hold {
    /// Under which epoch this worker writes.
    pub fence: Fence,
    /// `wa.session.name`.
    pub session: Arc<str>,
    /// Cancelled when the hold is lost: nothing may be sent or written for the session any more.
    pub lost: CancellationToken,
    /// Where the session's rows are.
    pub db: Db,
}

impl Hold {
    /// A hold that is not lost.
    #[must_use]
    pub fn new(db: Db, fence: Fence, session: &str) -> Self {
        Self { fence, session: session.into(), lost: CancellationToken::new(), db }
    }

    /// The same hold under a new epoch. Writes under the earlier one are refused from now on.
    #[must_use]
    pub fn renewed(&self, epoch: i64) -> Self {
        Self { fence: Fence { epoch, ..self.fence }, ..self.clone() }
    }

    /// Runs a statement that may run twice. An outage of the database is waited out for as long as the hold lasts.
    ///
    /// # Errors
    /// What the database says, or that it was away when the hold was lost.
    pub async fn ask<T, F>(&self, ask: impl FnMut() -> F) -> sqlx::Result<T>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        outlast(&self.lost, ask).await
    }

    /// Runs a fenced write until it is done or the hold is lost, whatever the database says. `write` tells whether the
    /// fence still stood; if it did not, the hold is lost.
    pub async fn write<F>(&self, write: impl FnMut() -> F)
    where
        F: Future<Output = sqlx::Result<bool>>,
    {
        match insist(&self.lost, write).await {
            Some(true) => {}
            Some(false) => self.lost.cancel(),
            None => tracing::warn!("hold lost; a change of the session is not written"),
        }
    }
}

//! Loops that survive outages of the database.

use crate::db::backoff::Backoff;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The first pause after an error.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// A loop that makes pass after pass until it is stopped.
pub trait RetryLoop: Send + Sized {
    /// Its name in the log.
    const NAME: &'static str;

    /// One pass. Dropping it half way, at a stop, must do no harm.
    fn pass(&mut self) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Makes passes until `stop`. An error of the database is logged, and the next pass follows after a backoff.
    fn run(mut self, stop: CancellationToken) -> impl Future<Output = ()> + Send {
        async move {
            let mut backoff = Backoff::new(PAUSE, LONGEST);
            loop {
                let pass = tokio::select! {
                    () = stop.cancelled() => return,
                    pass = self.pass() => pass,
                };
                let Err(error) = pass else {
                    backoff.reset();
                    continue;
                };
                tracing::warn!(task = Self::NAME, %error, "pass failed; retrying");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = backoff.sleep() => {}
                }
            }
        }
    }
}

//! Work that goes on in turns until it is stopped, and outlasts the outages of its database.

use crate::db::backoff::Backoff;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The first pause after an error.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// Something that is done turn by turn.
pub trait Turns: Send + Sized {
    /// What it does, as "cannot …, trying again" names it in the log.
    const WHAT: &'static str;

    /// One turn. Dropping it half way, at a stop, must do no harm.
    fn turn(&mut self) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Takes turns until `stop`. Errors of the database are logged and waited out.
    fn run(mut self, stop: CancellationToken) -> impl Future<Output = ()> + Send {
        async move {
            let mut backoff = Backoff::new(PAUSE, LONGEST);
            loop {
                let turn = tokio::select! {
                    () = stop.cancelled() => return,
                    turn = self.turn() => turn,
                };
                let Err(error) = turn else {
                    backoff.reset();
                    continue;
                };
                tracing::warn!(%error, "cannot {}, trying again", Self::WHAT);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = backoff.sleep() => {}
                }
            }
        }
    }
}

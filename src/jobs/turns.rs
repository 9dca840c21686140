//! Work that goes on in turns until it is stopped, and outlasts the outages of its database.

use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The first pause after an error; each further one in a row doubles it.
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
            let mut pause = PAUSE;
            loop {
                let turn = tokio::select! {
                    () = stop.cancelled() => return,
                    turn = self.turn() => turn,
                };
                let Err(error) = turn else {
                    pause = PAUSE;
                    continue;
                };
                tracing::warn!(%error, "cannot {}, trying again", Self::WHAT);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST),
                }
            }
        }
    }
}

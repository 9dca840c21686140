//! Outages, which pass by themselves: a server that restarts, a lost connection, a full pool or disk (R3).
//!
//! The server may have run a statement whose answer was lost. So only statements that may run twice are repeated here:
//! reads, and writes with the same result.

use super::backoff::Backoff;
use sqlx::Error;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The first pause after an error.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The last chance for an answer after the caller has stopped; a database without an outage answers within this time.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// Whether the statement did not reach the server or got no answer, so that a retry may succeed.
#[must_use]
pub fn is_outage(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::PoolTimedOut => true,
        // Connection lost; out of disk or memory; shutting down or starting up; the disk failed; read-only, as a server
        // is during a failover.
        Error::Database(error) => {
            let classes = ["08", "53", "57P", "58", "25006"];
            error.code().is_some_and(|code| classes.iter().any(|class| code.starts_with(class)))
        }
        _ => false,
    }
}

/// Repeats a statement during an outage, until it is answered or the caller is `stopped`. After a stop it has a last
/// chance of a second; then the outage is the answer.
pub async fn outlast<T, F>(stopped: &CancellationToken, ask: impl FnMut() -> F) -> sqlx::Result<T>
where
    F: Future<Output = sqlx::Result<T>>,
{
    repeat(stopped, is_outage, ask).await
}

/// Repeats a statement after every error, because nothing else would run it later. `None` if the caller is `stopped`
/// first.
pub async fn insist<T, F>(stopped: &CancellationToken, ask: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = sqlx::Result<T>>,
{
    repeat(stopped, |_| true, ask).await.ok()
}

async fn repeat<T, F>(
    stopped: &CancellationToken,
    is_retried: impl Fn(&Error) -> bool,
    mut ask: impl FnMut() -> F,
) -> sqlx::Result<T>
where
    F: Future<Output = sqlx::Result<T>>,
{
    let attempts = async {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let error = match ask().await {
                Err(error) if is_retried(&error) && !stopped.is_cancelled() => error,
                answer => return answer,
            };
            tracing::warn!(%error, "statement failed; retrying");
            backoff.sleep().await;
        }
    };
    let last_chance = async {
        stopped.cancelled().await;
        tokio::time::sleep(LAST_CHANCE).await;
    };
    tokio::select! {
        biased;
        answer = attempts => answer,
        () = last_chance => Err(Error::PoolTimedOut),
    }
}

//! What passes by itself: a server that restarts, a connection that was cut, a pool or a disk that is full (R3).
//!
//! A statement that was cut off may have been done. So only what can be done twice is asked again here: reads, and writes
//! that come to the same.

use super::backoff::Backoff;
use sqlx::Error;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The first pause after an error.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5);
/// A database that is there answers in this time.
const PARTING: Duration = Duration::from_secs(1);

/// Whether the server could not be asked or did not come to answer, so that the same may work in a moment.
#[must_use]
pub fn is_outage(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::PoolTimedOut => true,
        // Connection lost, out of room or memory, shutting down or starting up, the disk failed; read-only, as servers are
        // between two masters.
        Error::Database(error) => {
            let passing = ["08", "53", "57P", "58", "25006"];
            error.code().is_some_and(|code| passing.iter().any(|class| code.starts_with(class)))
        }
        _ => false,
    }
}

/// Asks until there is an answer, or for a moment more when whoever asks is `gone`: then the outage is the answer.
pub async fn outlast<T, F>(gone: &CancellationToken, ask: impl FnMut() -> F) -> sqlx::Result<T>
where
    F: Future<Output = sqlx::Result<T>>,
{
    repeat(gone, is_outage, ask).await
}

/// The same for what nobody else would do if it were given up: every error is logged and waited out, whatever it says. `None`
/// when whoever asks is `gone`.
pub async fn insist<T, F>(gone: &CancellationToken, ask: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = sqlx::Result<T>>,
{
    repeat(gone, |_| true, ask).await.ok()
}

async fn repeat<T, F>(
    gone: &CancellationToken,
    passes: impl Fn(&Error) -> bool,
    mut ask: impl FnMut() -> F,
) -> sqlx::Result<T>
where
    F: Future<Output = sqlx::Result<T>>,
{
    let asking = async {
        let mut backoff = Backoff::new(PAUSE, LONGEST);
        loop {
            let error = match ask().await {
                Err(error) if passes(&error) && !gone.is_cancelled() => error,
                answer => return answer,
            };
            tracing::warn!(%error, "no answer from the database, asking again");
            backoff.sleep().await;
        }
    };
    let over = async {
        gone.cancelled().await;
        tokio::time::sleep(PARTING).await;
    };
    tokio::select! {
        biased;
        answer = asking => answer,
        () = over => Err(Error::PoolTimedOut),
    }
}

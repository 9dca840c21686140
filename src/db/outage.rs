//! Outages, which pass by themselves: a server that restarts, a lost connection, a full pool or disk (R3). And rows that
//! an application has locked: the worker waits for them only a moment, and then tries again (R8).
//!
//! The server may have run a statement whose answer was lost. So only statements that may run twice are repeated here:
//! reads, and writes with the same result.
//!
//! Statements are repeated without limit during outages only. A statement that the server refuses for its content would
//! be refused for ever; see [`pieces`](super::pieces).

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

/// Whether somebody else has locked a row or table that the statement needs. The statement had no effect.
#[must_use]
pub fn is_busy(error: &Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "55P03")
}

/// Whether the statement took longer than `statement_timeout`, or somebody cancelled it. It had no effect.
#[must_use]
pub fn was_too_slow(error: &Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "57014")
}

/// What an error of a statement says about the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The database is away; see [`is_outage`].
    Outage,
    /// The statement may succeed another time: somebody held a lock ([`is_busy`]), or two transactions met, or the server
    /// lacks something that an operator can give it.
    Passing,
    /// The server refuses what the statement carries.
    Refusal,
    /// This process closes its connections.
    Closed,
}

impl Failure {
    /// The classes of SQLSTATE that speak of the content: wrong data, a broken constraint, a feature or a size that
    /// Postgres does not have, an error raised by a function, an internal error.
    const REFUSALS: [&str; 9] = ["0A", "21", "22", "23", "44", "54", "P0", "WA", "XX"];

    /// Classifies an error.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error {
            _ if is_outage(error) => Self::Outage,
            Error::PoolClosed | Error::WorkerCrashed => Self::Closed,
            Error::Encode(_) => Self::Refusal,
            Error::Database(error) => {
                let refused = |code: &str| Self::REFUSALS.iter().any(|class| code.starts_with(class));
                if error.code().is_some_and(|code| refused(&code)) { Self::Refusal } else { Self::Passing }
            }
            _ => Self::Passing,
        }
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

/// Repeats a statement while somebody has locked what it needs. For statements that must not run twice.
///
/// # Errors
/// Any other error, or the lock if the caller is `stopped`.
pub async fn outwait<T, F>(stopped: &CancellationToken, ask: impl FnMut() -> F) -> sqlx::Result<T>
where
    F: Future<Output = sqlx::Result<T>>,
{
    repeat(stopped, is_busy, ask).await
}

/// Repeats a statement in both cases: nothing else of the caller waits for it.
pub async fn outlast_and_outwait<T, F>(stopped: &CancellationToken, ask: impl FnMut() -> F) -> sqlx::Result<T>
where
    F: Future<Output = sqlx::Result<T>>,
{
    repeat(stopped, |error| is_outage(error) || is_busy(error), ask).await
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

//! Waiting for a condition.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The longest wait for a condition. It is generous, because only a failing test waits so long.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Polls `look` every 10 ms until it gives `Ok(Ok(…))`. `Ok(Err(…))` describes the current state, and `Err` ends the wait at
/// once.
pub(crate) async fn until<T, S: Display>(what: &str, mut look: impl AsyncFnMut() -> Result<Result<T, S>>) -> Result<T> {
    let start = Instant::now();
    loop {
        match look().await? {
            Ok(found) => return Ok(found),
            Err(seen) if start.elapsed() > LIMIT => bail!("timed out waiting for {what}; last seen: {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

//! Waiting for a condition.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a condition may take. Generous, because it is only waited out when the test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Looks again and again until it finds what is waited for: `Ok(Err(…))` says what there is instead, and `Err` ends the
/// waiting at once.
pub(crate) async fn until<T, S: Display>(what: &str, mut look: impl AsyncFnMut() -> Result<Result<T, S>>) -> Result<T> {
    let start = Instant::now();
    loop {
        match look().await? {
            Ok(found) => return Ok(found),
            Err(seen) if start.elapsed() > LIMIT => bail!("waited in vain for {what}; at last there was {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

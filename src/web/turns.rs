//! Changes that may meet a row that somebody else has locked. Each attempt waits for a lock for a moment only, and between its attempts
//! a change has no connection to the database: so however many wait, the others go on.

use super::error::WebError;
use super::shares::Shares;
use crate::db::outage;
use std::hash::Hash;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// For the transaction of an attempt.
pub(super) const QUICK: &str = "SET LOCAL lock_timeout = '100ms'";

/// How long a change tries.
const PATIENCE: Duration = Duration::from_secs(4);
/// The first pause between two attempts, and the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(400);

/// Makes a change, in turn with others of the same key. `once` is an attempt, which is [`QUICK`] and leaves nothing when it fails.
///
/// # Errors
/// [`WebError::Busy`] when somebody keeps what it needs, and those of the attempt.
pub(super) async fn in_turn<K, T, F>(shares: &Shares<K>, key: K, once: impl Fn() -> F) -> Result<T, WebError>
where
    K: Eq + Hash + Clone,
    F: Future<Output = Result<T, WebError>>,
{
    let end = Instant::now() + PATIENCE;
    let mut pause = PAUSE;
    loop {
        let share = shares.wait(key.clone()).await.ok_or(WebError::Busy)?;
        let made = once().await;
        drop(share);
        match made {
            Err(WebError::Sql(error)) if outage::is_busy(&error) => {
                if Instant::now() >= end {
                    return Err(WebError::Busy);
                }
            }
            made => return made,
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

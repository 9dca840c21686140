//! Writes of many items in one statement (R10): when the database refuses the statement, the items that it refuses are
//! found by halves and put into quarantine, one at a time, and all others are written.

use super::backoff::Backoff;
use super::outage::{Failure, is_busy, outlast};
use sqlx::Error;
use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The first pause after an error.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often a statement is tried before it is halved, and a single item before it goes into quarantine: what it
/// referred to may have been deleted in the meantime, and then the next attempt does not refer to it.
const TRIES: u32 = 3;
/// How long an error that may pass is retried for a single item: a deadlock is over sooner, and an operator who took a
/// right away by mistake has this long to give it back.
pub const PASSING: Duration = Duration::from_mins(2);

/// Items that one statement writes, or several statements in parts.
pub trait Pieces: Sync {
    /// Writes some of the items. May be called again for the same ones.
    fn write(&self, part: Range<usize>) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Puts an item into quarantine that the database refuses with this error.
    fn quarantine(&self, item: usize, error: &Error) -> impl Future<Output = ()> + Send;
}

/// Writes `count` items. Waits out outages until `stopped`; an item that the database refuses goes into quarantine
/// after three attempts. An error that may pass is retried `most` times for a single item, before the items behind it;
/// or, without `most`, after all other items and for [`PASSING`], and then the item goes into quarantine. A lock that
/// somebody else holds is always waited for (R8).
///
/// # Errors
/// An outage that lasted until `stopped`, or an error that may pass and did not. Some items may be written then.
pub async fn write_in_pieces(
    pieces: &impl Pieces,
    count: usize,
    stopped: &CancellationToken,
    most: Option<u32>,
) -> sqlx::Result<()> {
    write_within(pieces, count, stopped, most, PASSING).await
}

/// The same, with this time instead of [`PASSING`].
async fn write_within(
    pieces: &impl Pieces,
    count: usize,
    stopped: &CancellationToken,
    most: Option<u32>,
    passing_for: Duration,
) -> sqlx::Result<()> {
    let mut parts = Vec::from_iter((count > 0).then_some(0..count));
    let mut failing: HashMap<usize, Instant> = HashMap::new();
    while let Some(part) = parts.pop() {
        let (mut backoff, mut tries) = (Backoff::new(FIRST_PAUSE, LONGEST_PAUSE), 0);
        while let Err(error) = outlast(stopped, || pieces.write(part.clone())).await {
            let refused = match Failure::of(&error) {
                Failure::Outage | Failure::Closed => return Err(error),
                _ if stopped.is_cancelled() => return Err(error),
                failure => failure == Failure::Refusal,
            };
            tries += 1;
            if part.len() > 1 && (refused || tries >= TRIES) {
                let middle = part.start + part.len() / 2;
                parts.extend([middle..part.end, part.start..middle]);
                break;
            }
            if refused && tries >= TRIES {
                pieces.quarantine(part.start, &error).await;
                break;
            }
            let passing = !refused && !is_busy(&error);
            if passing && most.is_some_and(|most| tries >= most) {
                return Err(error);
            }
            if passing && most.is_none() && part.len() == 1 {
                let since = *failing.entry(part.start).or_insert_with(Instant::now);
                if since.elapsed() >= passing_for {
                    pieces.quarantine(part.start, &error).await;
                    break;
                }
            }
            tracing::warn!(code = code(&error), items = part.len(), "statement failed; retrying");
            stopped.run_until_cancelled(backoff.sleep()).await;
            // Where no order is asked for, the others need not wait for this one.
            if !refused && part.len() == 1 && most.is_none() && !parts.is_empty() {
                parts.insert(0, part);
                break;
            }
        }
    }
    Ok(())
}

/// The error's SQLSTATE, which quotes nothing of the content; empty for an error of the driver.
#[must_use]
pub fn code(error: &Error) -> String {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.map(std::borrow::Cow::into_owned).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Items of which some are refused, and what became of them.
    struct Items {
        poison: &'static [usize],
        /// The error of a statement with poison.
        error: fn() -> Error,
        written: Mutex<Vec<usize>>,
        quarantined: Mutex<Vec<usize>>,
        statements: Mutex<u32>,
    }

    impl Pieces for Items {
        async fn write(&self, part: Range<usize>) -> sqlx::Result<()> {
            *self.statements.lock().expect("no panic") += 1;
            if part.clone().any(|item| self.poison.contains(&item)) {
                return Err((self.error)());
            }
            self.written.lock().expect("no panic").extend(part);
            Ok(())
        }

        async fn quarantine(&self, item: usize, _: &Error) {
            self.quarantined.lock().expect("no panic").push(item);
        }
    }

    const POISON: [&[usize]; 5] = [&[], &[0], &[6], &[3, 4], &[0, 1, 2, 3, 4, 5, 6]];

    #[tokio::test]
    async fn r10_each_refused_item_is_quarantined_and_all_others_are_written_in_order() {
        for poison in POISON {
            let items = Items {
                poison,
                error: || Error::Encode("refused".into()),
                written: Mutex::default(),
                quarantined: Mutex::default(),
                statements: Mutex::default(),
            };
            write_in_pieces(&items, 7, &CancellationToken::new(), None).await.expect("no outage");
            let good: Vec<usize> = (0..7).filter(|item| !poison.contains(item)).collect();
            assert_eq!(*items.written.lock().expect("no panic"), good);
            assert_eq!(*items.quarantined.lock().expect("no panic"), poison);
            let statements = *items.statements.lock().expect("no panic");
            assert!(statements <= 1 + 12 + 3 * u32::try_from(poison.len()).expect("few"), "{statements}");
        }
    }

    /// As when the role of the worker has lost a right (42501), or somebody cancels each of its statements (57014).
    #[tokio::test]
    async fn r10_an_error_that_does_not_pass_ends_in_quarantine_and_holds_up_no_other_item() {
        let items = Items {
            poison: &[3],
            error: || Error::Protocol("not refused for its content".into()),
            written: Mutex::default(),
            quarantined: Mutex::default(),
            statements: Mutex::default(),
        };
        let (begun, limit) = (Instant::now(), Duration::from_millis(300));
        write_within(&items, 7, &CancellationToken::new(), None, limit).await.expect("no outage");
        assert!(begun.elapsed() >= limit, "given up after {:?}", begun.elapsed());
        assert_eq!(*items.written.lock().expect("no panic"), [0, 1, 2, 4, 5, 6]);
        assert_eq!(*items.quarantined.lock().expect("no panic"), [3]);
    }
}

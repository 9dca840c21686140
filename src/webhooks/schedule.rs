//! When a failed delivery is tried again: the schedule of Standard Webhooks.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// Pauses in seconds after the first failed attempt, the second, and so on.
const PAUSES: [u64; 9] = [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];

/// The pause after so many failed attempts, without the jitter of a tenth that the statement adds; `None` when no
/// attempt is left.
#[must_use]
pub fn pause(failed: u32) -> Option<Duration> {
    let pause = PAUSES.get(usize::try_from(failed.checked_sub(1)?).ok()?)?;
    Some(Duration::from_secs(*pause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h5_ten_attempts_in_about_three_days() {
        let pauses: Vec<u64> = (1..20).map_while(pause).map(|pause| pause.as_secs()).collect();
        assert_eq!(pauses, [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        assert_eq!((pause(10), pause(0), pause(u32::MAX)), (None, None, None));
    }
}

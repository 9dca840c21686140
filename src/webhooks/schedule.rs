//! When a failed delivery is tried again: the schedule of Standard Webhooks.

use rand::RngExt as _;
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// Pauses in seconds after the first failed attempt, the second, and so on.
const PAUSES: [u64; 9] = [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];

/// The pause after so many failed attempts, before [`spread`]; `None` when no attempt is left.
#[must_use]
pub fn pause(failed: u32) -> Option<Duration> {
    let pause = PAUSES.get(usize::try_from(failed.checked_sub(1)?).ok()?)?;
    Some(Duration::from_secs(*pause))
}

/// A pause give or take a tenth, so that what failed together is not tried again together; and never before a receiver wants
/// it: what it asks for is spread upwards alone.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "chance here spreads load; nothing depends on the value")]
pub fn spread(pause: Duration, wanted: Option<Duration>) -> Duration {
    let mut chance = rand::rng();
    let wanted = wanted.map(|wanted| wanted.mul_f64(chance.random_range(1.0..1.1)));
    pause.mul_f64(chance.random_range(0.9..1.1)).max(wanted.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h5_ten_attempts_in_about_three_days() {
        let pauses: Vec<u64> = (1..20).map_while(pause).map(|pause| pause.as_secs()).collect();
        assert_eq!(pauses, [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
        for _ in 0..1000 {
            let (plain, wanted) = (spread(minute, None), spread(second, Some(minute)));
            assert!(plain >= minute.mul_f64(0.9) && plain <= minute.mul_f64(1.1), "{plain:?}");
            assert!(wanted >= minute && wanted <= minute.mul_f64(1.1), "{wanted:?}");
            assert!(spread(minute, Some(second)) >= minute.mul_f64(0.9));
        }
        assert_eq!((pause(10), pause(0), pause(u32::MAX)), (None, None, None));
    }
}

//! When a failed call is tried again.

use std::time::Duration;

/// Pauses in seconds after the first failed attempt, the second, and so on.
const PAUSES: [u64; 3] = [1, 2, 4];
/// The longest pause that the partner may ask for.
const MOST: Duration = Duration::from_mins(5);

/// The pause after so many failed attempts, longer if the partner asks for that; `None` when no attempt is left.
#[must_use]
pub fn pause(failed: u32, wanted: Option<Duration>) -> Option<Duration> {
    let pause = PAUSES.get(usize::try_from(failed.checked_sub(1)?).ok()?)?;
    Some(Duration::from_secs(*pause).max(wanted.unwrap_or_default().min(MOST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h6_a_call_is_tried_four_times_within_seven_seconds() {
        let pauses: Vec<u64> = (1..20).map_while(|failed| pause(failed, None)).map(|pause| pause.as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4]);
        assert_eq!((pause(0, None), pause(4, None), pause(u32::MAX, None)), (None, None, None));
        let asked = |seconds| pause(1, Some(Duration::from_secs(seconds))).map(|pause| pause.as_secs());
        assert_eq!((asked(0), asked(30), asked(86_400)), (Some(1), Some(30), Some(300)));
    }
}

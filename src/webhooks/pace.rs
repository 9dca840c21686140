//! How fast one receiver is served: requests at once, pauses, and the breaker.
//!
//! The number of requests at once grows with each success and is halved by each sign of too much (429, 502, 504, no
//! answer in time). After [`FAILURES`] failures in a row the breaker opens: one request at a time, after a pause that
//! doubles with each further failure. So a dead receiver costs one request at a time, and one attempt of one delivery.

use crate::db::backoff::spread;
use std::time::{Duration, Instant};

/// Failures in a row that open the breaker.
pub const FAILURES: u32 = 5;
/// The first pause of an open breaker.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_mins(5);
/// The pause after a sign of too much.
const REST: Duration = Duration::from_secs(1);
/// The longest pause that a receiver may ask for.
pub const RETRY_AFTER: Duration = Duration::from_hours(1);
/// Requests at once to a receiver of which nothing is known.
const START: f64 = 8.0;

/// What an answer means for the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Accepted.
    Good,
    /// Not accepted.
    Bad,
    /// Too much for the receiver; it may have said for how long it wants a pause.
    TooMuch(Option<Duration>),
}

/// The pace of one receiver.
#[derive(Debug)]
pub struct Pace {
    most: f64,
    limit: f64,
    failures: u32,
    /// Probes of the open breaker that have failed.
    probes: u32,
    /// Since when the breaker waits for the next probe: what was under way then is none.
    probing: Option<Instant>,
    /// Nothing goes before this moment.
    not_before: Option<Instant>,
    /// When that was last decided: a success of a request that was under way then does not end the pause.
    paused: Option<Instant>,
    /// When the limit was last halved: requests that were under way then are no further sign.
    halved: Option<Instant>,
}

impl Pace {
    /// A pace of at most `most` requests at once, after so many failures in a row. `rest`: what is left of a pause.
    #[must_use]
    pub fn new(most: u32, failures: u32, rest: Option<Duration>, now: Instant) -> Self {
        let most = f64::from(most.max(1));
        let not_before = rest.map(|pause| now + pause.min(RETRY_AFTER));
        let probes = failures.saturating_sub(FAILURES);
        Self {
            most,
            limit: most.min(START),
            failures,
            probes,
            probing: None,
            not_before,
            paused: rest.map(|_| now),
            halved: None,
        }
    }

    /// How many requests may be started now, beside those under way.
    #[must_use]
    pub fn room(&self, under_way: usize, now: Instant) -> usize {
        if self.not_before.is_some_and(|begin| now < begin) {
            return 0;
        }
        let limit = if self.is_open() { 1 } else { self.at_once() };
        limit.saturating_sub(under_way)
    }

    /// Most requests at once.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 1000")]
    pub fn at_once(&self) -> usize {
        self.limit as usize
    }

    /// Whether the breaker is open: one request at a time.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.failures >= FAILURES
    }

    /// Failures in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// When the next request may go; `None` is at once.
    #[must_use]
    pub fn not_before(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|begin| *begin > now)
    }

    /// A request that was `started` then has ended. True when this opens the breaker.
    pub fn ended(&mut self, sign: Sign, started: Instant, now: Instant) -> bool {
        match sign {
            Sign::Good => {
                if self.is_open() {
                    self.limit = 1.0;
                }
                (self.failures, self.probes, self.probing) = (0, 0, None);
                if self.paused.is_none_or(|paused| started >= paused) {
                    self.not_before = None;
                }
                self.limit = (self.limit + if self.halved.is_none() { 1.0 } else { 1.0 / self.limit }).min(self.most);
                return false;
            }
            Sign::Bad => {}
            Sign::TooMuch(wanted) => {
                if self.halved.is_none_or(|halved| started > halved) {
                    self.limit = (self.limit / 2.0).max(1.0);
                    self.halved = Some(now);
                }
                self.pause(wanted.unwrap_or(REST), now);
            }
        }
        self.failures = self.failures.saturating_add(1);
        let opens = self.failures == FAILURES;
        if opens || self.is_open() && self.probing.is_none_or(|since| started >= since) {
            self.probes = if opens { 0 } else { self.probes.saturating_add(1) };
            self.probing = Some(now);
            self.pause(spread((FIRST * 2_u32.pow(self.probes.min(16))).min(LONGEST)), now);
        }
        opens
    }

    fn pause(&mut self, pause: Duration, now: Instant) {
        (self.not_before, self.paused) = (self.not_before.max(Some(now + pause)), Some(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn h5_success_lets_more_go_at_once_and_too_much_halves_it() {
        let now = Instant::now();
        let mut pace = Pace::new(32, 0, None, now);
        for _ in 0..100 {
            pace.ended(Sign::Good, now, now);
        }
        assert_eq!((pace.at_once(), pace.room(30, now)), (32, 2));
        // All that were under way say the same, which counts once.
        let later = now + SECOND;
        for _ in 0..3 {
            pace.ended(Sign::TooMuch(None), now, later);
        }
        assert_eq!((pace.at_once(), pace.room(0, later)), (16, 0));
        assert_eq!(pace.room(0, later + REST), 16);
        pace.ended(Sign::TooMuch(Some(Duration::from_mins(10))), later + SECOND, later + SECOND);
        assert_eq!((pace.at_once(), pace.room(0, later + Duration::from_mins(9))), (8, 0));
        assert_eq!(pace.room(0, later + Duration::from_mins(11)), 8);
    }

    #[test]
    fn h5_a_success_that_began_before_a_wanted_pause_does_not_end_it() {
        let now = Instant::now();
        let mut pace = Pace::new(32, 0, None, now);
        let wanted = Duration::from_mins(10);
        pace.ended(Sign::TooMuch(Some(wanted)), now, now + SECOND);
        // Both were under way together.
        pace.ended(Sign::Good, now, now + 2 * SECOND);
        assert_eq!(pace.not_before(now + 2 * SECOND), Some(now + SECOND + wanted));
        let over = now + SECOND + wanted;
        pace.ended(Sign::TooMuch(None), over, over);
        pace.ended(Sign::Good, over + SECOND, over + 2 * SECOND);
        assert_eq!(pace.not_before(over), None, "a success that began in the pause shows that it is over");
    }

    #[test]
    fn h5_an_open_breaker_lets_one_request_at_a_time_go_after_growing_pauses() {
        let mut now = Instant::now();
        let mut pace = Pace::new(32, 0, None, now);
        let opened: Vec<bool> = (0..FAILURES).map(|_| pace.ended(Sign::Bad, now, now)).collect();
        assert_eq!(opened, [false, false, false, false, true]);
        let mut pauses = vec![];
        for _ in 0..20 {
            assert_eq!(pace.room(0, now), 0);
            let begin = pace.not_before(now).expect("a pause");
            pauses.push((begin - now).as_secs_f64());
            now = begin;
            assert_eq!((pace.room(0, now), pace.room(1, now)), (1, 0));
            assert!(!pace.ended(Sign::Bad, now, now), "it is open already");
        }
        assert!(pauses[0] < 3.0 && pauses.iter().all(|pause| *pause < 376.0), "{pauses:?}");
        assert!(pauses[19] > 224.0, "{pauses:?}");
        pace.ended(Sign::Good, now, now);
        assert!(!pace.is_open() && pace.room(0, now) > 0 && pace.at_once() <= 2);
    }

    #[test]
    fn h5_the_next_holder_keeps_the_breaker_open() {
        let now = Instant::now();
        let pace = Pace::new(32, FAILURES + 3, Some(Duration::from_mins(1)), now);
        assert_eq!((pace.room(0, now), pace.room(0, now + Duration::from_mins(1))), (0, 1));
        // And a pause that the receiver wants.
        let pace = Pace::new(32, 1, Some(Duration::from_mins(50)), now);
        assert_eq!((pace.room(0, now + Duration::from_mins(49)), pace.room(0, now + Duration::from_mins(50))), (0, 8));
    }
}

//! How often each of many callers may do something: at most so many times within any minute.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The length of the window.
const WINDOW: Duration = Duration::from_mins(1);

/// Remembers when each key did it, for a minute.
#[derive(Debug)]
pub(super) struct Windows<K> {
    most: u32,
    past: Mutex<HashMap<K, VecDeque<Instant>>>,
}

/// What is left to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) limit: u32,
    pub(super) left: u32,
    /// Until one more is possible if none is left, else until all are again.
    pub(super) wait: Duration,
    /// This one was refused.
    pub(super) is_over: bool,
}

impl<K: Eq + Hash> Windows<K> {
    /// `most` times in any minute, at least once.
    pub(super) fn new(most: u32) -> Self {
        Self { most: most.max(1), past: Mutex::default() }
    }

    /// Counts one more for a key, unless there is no room for it.
    pub(super) fn take(&self, key: K) -> Room {
        self.take_at(key, Instant::now())
    }

    fn take_at(&self, key: K, now: Instant) -> Room {
        let mut all = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let past = all.entry(key).or_default();
        while past.front().is_some_and(|at| is_over(*at, now)) {
            past.pop_front();
        }
        let used = u32::try_from(past.len()).unwrap_or(u32::MAX);
        let is_refused = used >= self.most;
        if !is_refused {
            past.push_back(now);
        }
        let frees = if is_refused { past.front() } else { past.back() };
        let wait = frees.map_or(Duration::ZERO, |at| (*at + WINDOW).duration_since(now));
        let left = self.most.saturating_sub(used + u32::from(!is_refused));
        Room { limit: self.most, left, wait, is_over: is_refused }
    }

    /// Forgets keys that have been quiet.
    pub(super) fn forget(&self) {
        let now = Instant::now();
        let mut all = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, past| past.back().is_some_and(|at| !is_over(*at, now)));
    }
}

fn is_over(at: Instant, now: Instant) -> bool {
    now.duration_since(at) >= WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h3_h6_a_key_has_so_many_in_any_minute_and_not_one_more() {
        let (windows, start) = (Windows::new(5), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        for (n, second) in [0, 10, 20, 30, 40].into_iter().enumerate() {
            let room = windows.take_at("a", at(second));
            let left = 4 - u32::try_from(n).expect("small");
            assert_eq!(room, Room { limit: 5, left, wait: WINDOW, is_over: false });
        }
        let refused = |wait: u64| Room { limit: 5, left: 0, wait: Duration::from_secs(wait), is_over: true };
        // Asking does not move the window.
        for (second, wait) in [(41, 19), (59, 1)] {
            assert_eq!(windows.take_at("a", at(second)), refused(wait));
        }
        assert!(!windows.take_at("b", at(59)).is_over, "another key");
        assert!(!windows.take_at("a", at(60)).is_over, "the first is a minute old");
        assert_eq!(windows.take_at("a", at(61)), refused(9));
    }
}

//! Pauses between attempts. Every loop that retries takes its pauses from here.

use rand::RngExt as _;
use std::time::Duration;

/// Pauses that double from `first` to `longest`, each spread by a quarter, so that clients that failed together do not
/// retry together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// The first pause is `first`, the longest `longest`, each give or take a quarter.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// Call after a success: the next pause is the first one again.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        spread(pause)
    }

    /// Sleeps for the next pause.
    pub async fn sleep(&mut self) {
        tokio::time::sleep(self.pause()).await;
    }
}

/// A random time between three and five quarters of `time`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "chance here spreads load; nothing depends on the value")]
pub fn spread(time: Duration) -> Duration {
    time.mul_f64(rand::rng().random_range(0.75..1.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r3_pauses_double_to_a_limit_and_start_over_after_a_success() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_millis(350));
        let mut backoff = Backoff::new(first, longest);
        let near = |pause: Duration, wanted: u64| {
            let wanted = Duration::from_millis(wanted);
            assert!(pause >= wanted.mul_f64(0.75) && pause <= wanted.mul_f64(1.25), "{pause:?} is not near {wanted:?}");
        };
        for wanted in [100, 200, 350, 350] {
            near(backoff.pause(), wanted);
        }
        backoff.reset();
        near(backoff.pause(), 100);
    }
}

//! Counts QR codes for the metrics, each once, however many pages show it.

use crate::telemetry;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A company whose code was shown so long ago is forgotten: no code is valid for so long.
const QUIET: Duration = Duration::from_mins(10);

/// The last code of each company that this process has shown.
#[derive(Debug, Default)]
pub(in crate::web) struct Codes(Mutex<HashMap<i64, (u64, Instant)>>);

impl Codes {
    /// A company is shown a code.
    pub(in crate::web) fn shown(&self, company: i64, qr: &str) {
        if self.is_new(company, qr) {
            telemetry::marketplace_qr();
        }
    }

    fn is_new(&self, company: i64, qr: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        qr.hash(&mut hasher);
        let code = hasher.finish();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(company, (code, Instant::now())).is_none_or(|(before, _)| before != code)
    }

    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, (_, shown)| shown.elapsed() < QUIET);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h6_a_code_is_counted_once() {
        let codes = Codes::default();
        let new = [(1, "a"), (1, "a"), (2, "a"), (1, "b"), (1, "b")].map(|(company, qr)| codes.is_new(company, qr));
        assert_eq!(new, [true, false, true, true, false]);
    }
}

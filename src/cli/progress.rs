//! Bars for long work, on standard error and only if that is a terminal; with `NO_COLOR` they are plain anyway.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// How often work without steps shows that it lives.
const TICK: Duration = Duration::from_millis(200);

/// A bar that disappears at the end, also when the work fails.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Work without steps.
    pub(super) fn working(what: impl Into<String>) -> Self {
        let bar = Self::drawn(ProgressBar::new_spinner(), what, "{spinner} {msg}  {elapsed}");
        bar.0.enable_steady_tick(TICK);
        bar
    }

    /// Work of unknown length: counts `what`.
    pub(super) fn counted(what: impl Into<String>) -> Self {
        Self::drawn(ProgressBar::new_spinner(), what, "{spinner} {pos} {msg}  {elapsed}")
    }

    /// Work of `total` steps.
    pub(super) fn of(total: u64, what: impl Into<String>) -> Self {
        Self::drawn(ProgressBar::new(total), what, "{bar:40} {percent:>3} %  {pos}/{len}  {msg}  {elapsed}")
    }

    fn drawn(bar: ProgressBar, what: impl Into<String>, template: &str) -> Self {
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what.into());
        Self(bar)
    }

    pub(super) fn inc(&self) {
        self.0.inc(1);
    }

    pub(super) fn at(&self, done: u64) {
        self.0.set_position(done);
    }

    pub(super) fn total(&self, total: u64) {
        self.0.set_length(total);
    }

    pub(super) fn says(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

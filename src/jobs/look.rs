//! A look at one session's queued messages, page by page.

use std::time::Duration;

/// A look at one session. Each session has its own, so that one without room delays no other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// The last row that was read (rank, id).
    pub(super) mark: (i16, i64),
    /// Time spent on pages from which nothing was taken.
    pub(super) fruitless: Duration,
    /// Pages read.
    pub(super) pages: u32,
}

/// The result of one page of a look.
#[derive(Debug, Default)]
pub(super) struct LookPage {
    /// Whether there may be more rows, and the last row that was read, if any was.
    pub(super) more: bool,
    pub(super) mark: Option<(i16, i64)>,
    /// Rows read, and messages taken.
    pub(super) read: usize,
    pub(super) taken: usize,
}

impl Look {
    /// Before the first row.
    pub(super) const START: Self = Self { mark: (i16::MIN, 0), fruitless: Duration::ZERO, pages: 0 };
}

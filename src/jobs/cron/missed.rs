//! Which of the ticks that have passed still fire.

use super::expression::{Expression, ExpressionError};
use chrono::{DateTime, TimeDelta, Utc};

/// What happens to ticks that passed while no worker ran (`wa.missed_rule`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// Nothing: a tick that is more than [`LATE`] late is dropped.
    Skip,
    /// One job, for the latest tick.
    Once,
    /// One job for each of the latest [`MOST`] ticks.
    All,
}

/// How late a tick may be and still count as in time.
pub const LATE: TimeDelta = TimeDelta::seconds(60);

/// Most ticks that fire late after an outage.
pub const MOST: usize = 100;

impl Missed {
    /// The rule of that name in `wa.missed_rule`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "skip" => Self::Skip,
            "once" => Self::Once,
            "all" => Self::All,
            _ => return None,
        })
    }

    /// The ticks to fire at `now`, in order; those up to `ticked_to` were handled before.
    ///
    /// # Errors
    /// The expression cannot be used.
    pub fn due(
        self,
        expression: &Expression,
        ticked_to: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Vec<DateTime<Utc>>, ExpressionError> {
        match self {
            Self::Skip => expression.latest(ticked_to.max(now - LATE), now, 1),
            Self::Once => expression.latest(ticked_to, now, 1),
            Self::All => expression.latest(ticked_to, now, MOST),
        }
    }
}

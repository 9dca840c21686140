//! Requests to the partner's API (H6): rows of `wa.partner_call`, made by any worker.
//!
//! A web process queues a call in the transaction of what it is about; [`Partner`] claims and makes it. Pace and breaker
//! stand in `wa.partner`, so they hold over all workers (`sql/schema/58_onboarding.sql`).
//!
//! * [`api`]: the requests, and what the partner's answers mean.
//! * [`schedule`]: when a failed call is tried again.
//! * [`work`]: the task of a worker.
//!
//! Promised: a call that was committed is made at least once, by a worker that lives. Not promised: that it is made once;
//! the partner takes a repeated callback for the same.

pub mod api;
pub mod schedule;
pub mod work;

pub use work::Partner;

/// A payload of the worker's channel: a call waits.
pub const ASKED: &str = "partner";

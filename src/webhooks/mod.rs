//! Webhooks (H5): what happens is posted to receivers over HTTP, signed by Standard Webhooks.
//!
//! The transaction in which something happens inserts rows of `wa.delivery` (`sql/schema/56_deliveries.sql`), so nothing
//! is lost that was committed. One worker at a time delivers for a webhook: it holds `wa.webhook_lease`, and its epoch
//! fences every write. [`holder`] is that worker's task for one webhook: its own reads, its own requests, its own
//! breaker, so that no receiver holds up another one. [`Webhooks`] takes and gives away leases.
//!
//! * [`queue`]: which event may go next: the order of each chat, requests that several events share.
//! * [`pace`]: how many requests at once, the breaker, and when to pause.
//! * [`schedule`]: when a failed delivery is tried again.
//! * [`event`], [`people`], [`body`]: from rows to bodies. [`sign`]: the signature. [`post`]: the request.
//! * [`page`]: reads deliveries. [`work`]: the tasks of a holder. [`replay`]: replays.
//! * [`tasks`]: which holder has ended, also when it panicked.
//! * [`record`]: what became of it, in one statement for many deliveries.
//! * [`settings`], [`secrets`]: what `wa.webhook` and `wa.webhook_secret` say.
//!
//! Promised: what is committed arrives at least once, under the same id, for as long as there are attempts left. Not
//! promised: that it arrives once. A worker that dies before it has written an outcome leaves the delivery to the next
//! one, which tries it again.

pub mod body;
pub mod event;
pub mod holder;
pub mod lease;
pub mod pace;
pub mod page;
pub mod people;
pub mod post;
pub mod queue;
pub mod reach;
pub mod record;
pub mod replay;
pub mod schedule;
pub mod secrets;
pub mod settings;
pub mod sign;
pub mod tasks;
pub mod work;

pub use lease::Webhooks;

/// A payload of the worker's channel: something waits to be delivered.
pub const FED: &str = "webhooks";
/// A payload of the worker's channel: a webhook was added or changed, or asked for a replay.
pub const CHANGED: &str = "webhook_settings";

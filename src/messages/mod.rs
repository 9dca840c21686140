//! Messages: rows of `wa.outbound` to WhatsApp and the truth about each; WhatsApp to rows of `wa.inbox`.
//!
//! * [`outbound`]: builds the message of a row, sends it under the row's id, waits for the server's word. The next kind
//!   of message: a row or some in `sql/schema/30_message_kinds.sql`, a variant of `content::Content`.
//! * `content`: what a row says, and the WhatsApp message that it becomes; [`kept`](self) messages for those about them.
//! * [`media`]: files of messages, to WhatsApp's servers and from there.
//! * [`nack`]: what a refusal by the server means.
//! * [`acks`]: who waits for which server ack.
//! * [`inbound`]: the durability hook: commit and announce, then let the library acknowledge.
//! * `past`: what was said before a link.
//! * `votes`: what was voted for in polls.
//! * [`redelivered`]: what came again, and is asked for again where it was read and not kept.
//!
//! Receipts and late acks go from the session's supervisor straight to [`crate::jobs::progress`].

pub mod acks;
pub(crate) mod content;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub mod inbound;
pub(crate) mod json;
pub(crate) mod kept;
pub mod media;
pub mod nack;
pub mod outbound;
pub(crate) mod past;
pub mod redelivered;
mod votes;

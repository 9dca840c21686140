//! Messages: rows of `wa.outbound` to WhatsApp and the truth about each; WhatsApp to rows of `wa.inbox`.
//!
//! * [`connection`]: the connections over which this worker sends.
//! * [`outbound`]: sends a row under its message id and waits for the server's ack. `compose` puts its message together with
//!   those that it refers to, which `kept` looks up.
//! * [`media`]: files of messages, to WhatsApp's servers and from there.
//! * [`nack`]: what a refusal by the server means.
//! * [`acks`]: who waits for which server ack.
//! * [`inbound`]: the durability hook: commit and announce, then let the library acknowledge.
//! * `past`: the history from before a link. `votes`: what was voted for in polls. `events`: rows of `wa.event`.
//! * [`redelivered`]: messages that the server handed over again; those that were decrypted and not kept are asked for again.
//! * `address`: one name for one person.
//!
//! Receipts and late acks go from the session's supervisor straight to [`crate::jobs::progress`].

pub mod acks;
pub(crate) mod address;
mod compose;
pub mod connection;
pub(crate) mod events;
pub mod inbound;
mod kept;
pub mod media;
pub mod nack;
pub mod outbound;
pub(crate) mod past;
pub mod redelivered;
mod votes;

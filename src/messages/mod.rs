//! Messages: from rows of `wa.outbound` to WhatsApp, with the outcome of each, and from WhatsApp to rows of `wa.inbox`.
//!
//! * [`connection`]: the connections over which this worker sends.
//! * [`outbound`]: sends a row under its message id and waits for the server's ack. `compose` builds its message;
//!   `lookup` finds the messages that it refers to.
//! * [`media`]: uploads and downloads the files of messages.
//! * [`nack`]: what a refusal by the server means.
//! * [`acks`]: senders that wait for a server ack.
//! * [`inbound`]: the durability hook: commits and announces a message, then lets the library acknowledge it.
//! * `past`: the history from before a link. `votes`: votes in polls. `events`: rows of `wa.event`.
//! * [`redelivered`]: messages that the server delivers again; asks for those that were decrypted and not stored.
//! * `address`: one form of address for each person.
//!
//! The session's supervisor sends receipts and late acks straight to [`crate::jobs::progress`].

pub mod acks;
pub(crate) mod address;
mod compose;
pub mod connection;
pub(crate) mod events;
pub mod inbound;
mod lookup;
pub mod media;
pub mod nack;
pub mod outbound;
pub(crate) mod past;
pub mod redelivered;
mod votes;

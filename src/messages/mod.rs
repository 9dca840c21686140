//! Messages: from rows of `wa.outbound` to WhatsApp, with the outcome of each, and from WhatsApp to rows of `wa.inbox`.
//!
//! * [`connection`]: the connections over which this worker sends.
//! * [`outbound`]: sends a row under its message id and waits for the server's ack. `compose` builds its message;
//!   `lookup` finds the messages that it refers to.
//! * [`media`]: uploads and downloads the files of messages.
//! * [`nack`]: what a refusal by the server means.
//! * [`acks`]: senders that wait for a server ack.
//! * [`inbound`]: the durability hook: commits and announces a message, then lets the library acknowledge it. `columns`:
//!   messages as statements take them, made storable. `store`: writes them.
//! * `past`: the history from before a link. `votes`: votes in polls. `authors`: who may edit and revoke.
//! * `events`: rows of `wa.event`. [`notices`]: received messages that become such rows, and timers of chats.
//! * [`redelivered`]: messages that the server delivers again; asks for those that were decrypted and not stored.
//! * `address`: one form of address for each person.
//!
//! The session's supervisor sends receipts and late acks straight to [`crate::jobs::progress`].

pub mod acks;
pub(crate) mod address;
mod authors;
mod columns;
mod compose;
pub mod connection;
pub(crate) mod events;
#[cfg(any(test, feature = "sandbox"))]
pub(crate) mod fuzzing;
pub mod inbound;
mod lookup;
pub mod media;
pub mod nack;
pub mod notices;
pub mod outbound;
pub(crate) mod past;
pub mod redelivered;
mod store;
mod votes;

//! Sessions: who holds one, the client that runs for it, and what happens to it.
//!
//! Read from the bottom up:
//!
//! * [`status`]: the states. [`error`]: why an operation failed.
//! * [`endpoint`]: the servers that this build may connect to. [`proxy`]: connects through a proxy. [`transport`]:
//!   sockets that close with the hold. [`http`]: fetches and uploads media.
//! * `held`: a session that this worker holds. `row`: its row in the database.
//! * [`client`]: builds a client of the library. `forward`: forwards its events to the supervisor. `credentials`:
//!   writes them when the library would not.
//! * `passkey`, `linking`: link a device over one connection.
//! * `events`: calls, groups, presence and the like, as rows of `wa.event`.
//! * `limit`: whether WhatsApp lets the account start new chats.
//! * `supervise`: one task for each connection, which returns how the connection ended. [`ending`]: what follows, as
//!   one table. `reports`: what it reports to.
//! * `admission`: how many connections dial at once, and who probes while WhatsApp is away.
//! * `leave`: how a session leaves this worker. `running`, [`registry`]: the sessions of this worker, and what happens
//!   after each end. `unlink`: how a device is unlinked.
//! * [`health`]: asks WhatsApp for an answer on every connection.
//! * [`lease`]: the worker's heartbeat and the adoption of free sessions, with a task and a connection of its own, so
//!   that nothing can starve it. [`comparison`]: what the database says is this worker's, and what it has in hand.
//!   [`witness`]: what the process remembers of the database.
//! * [`jobs`]: link, connect, reconnect, close, logout. `actions`: requests to WhatsApp. The next kind of session job
//!   goes there.

mod actions;
mod admission;
pub mod client;
pub mod comparison;
mod credentials;
pub mod ending;
pub mod endpoint;
pub mod error;
mod events;
mod forward;
#[cfg(any(test, feature = "sandbox"))]
pub(crate) mod fuzzing;
pub mod health;
mod held;
pub mod http;
pub mod jobs;
pub mod lease;
mod leave;
mod limit;
mod linking;
mod passkey;
pub mod proxy;
pub mod registry;
mod reports;
mod row;
mod running;
pub mod status;
mod supervise;
pub mod transport;
mod unlink;
pub mod witness;

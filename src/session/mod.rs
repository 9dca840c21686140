//! Sessions: who holds one, the client that lives in it, and what becomes of it.
//!
//! Read from the bottom up:
//!
//! * [`status`]: the states. [`error`]: why something could not be done.
//! * [`endpoint`]: which servers this build may talk to; [`proxy`]: through whom; [`transport`]: sockets that close with the
//!   hold; [`http`]: how media is fetched.
//! * `held`: a session that this worker holds. `row`: its row in the database.
//! * [`client`]: how a client of the library is built. `forward`: its events, on their way to the supervisor. `credentials`:
//!   written when the library would not.
//! * `passkey`, `linking`: linking a device, on the side of one connection.
//! * `events`: calls, groups, presence and the like, as rows of `wa.event`.
//! * `supervise`: one task for each connection, which says in the end how it ended. [`ending`]: what follows, as one table.
//! * `running`, [`registry`]: the sessions of this worker, and what follows each end.
//! * [`health`]: whether WhatsApp answers on every connection.
//! * [`lease`]: the worker's heartbeat and the adoption of free sessions; a task and a connection of its own, so that nothing
//!   can starve it.
//! * [`jobs`]: link, connect, reconnect, close, logout; `actions`: what a session asks of WhatsApp for others. The next kind
//!   goes there.

mod actions;
pub mod client;
mod credentials;
pub mod ending;
pub mod endpoint;
pub mod error;
mod events;
mod forward;
pub mod health;
mod held;
pub mod http;
pub mod jobs;
pub mod lease;
mod linking;
mod passkey;
pub mod proxy;
pub mod registry;
mod row;
mod running;
pub mod status;
mod supervise;
pub mod transport;

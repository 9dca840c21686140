//! Sessions: who holds one, the client that lives in it, and what becomes of it.
//!
//! * [`lease`]: the worker's proof of life and the adoption of free sessions; a task and a connection of its own, so
//!   that nothing can starve it.
//! * [`holder`]: the sessions that this worker holds, each with at most one client.
//! * [`client`]: how a client of the library is built for a session.
//! * [`crypto`]: which session could not decrypt something.
//! * [`supervise`]: one task a client; turns its events into rows.
//! * `ending`: what follows its end.
//! * `row`: what is written of a session while it is held.
//! * `told`: what it says of calls, groups, presence and the like, as events.
//! * [`jobs`]: link, connect, reconnect, close, logout. The next kind goes there.
//! * [`status`]: the states.
//! * [`endpoint`]: which servers this build may talk to; [`proxy`]: through whom.

mod actions;
pub mod client;
pub mod crypto;
mod ending;
pub mod endpoint;
pub mod holder;
pub mod jobs;
pub mod lease;
mod passkey;
pub mod proxy;
pub(crate) mod row;
pub mod status;
pub mod supervise;
mod told;
pub mod transport;

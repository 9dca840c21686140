//! H5: webhooks.

mod answers;
#[cfg(feature = "sandbox")]
mod commands;
mod delivery;
#[cfg(feature = "sandbox")]
mod docs;
mod feeding;
#[cfg(feature = "sandbox")]
mod killed;
mod locked;
mod order;
mod receiver;
#[cfg(feature = "sandbox")]
mod receivers;
mod replays;
mod secrets;
mod sharing;
mod stage;

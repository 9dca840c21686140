//! S1–S11: sessions, as operators and applications see them.

mod actions;
mod closes;
mod crypto;
mod ends;
mod fleet;
mod health;
mod log;
mod lost_answers;
mod pairing_code;
mod passkey;
mod proxy;
mod states;
pub(crate) mod telemetry;
mod tools;
mod unknown_kinds;

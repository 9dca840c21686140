//! Each decoder of the product as a function of bytes (R5), which panics when an input breaks a promise. The fuzz
//! targets in `fuzz/` and the property tests in `tests/fuzzing/` call them by name; the sandbox has its own in
//! `wagres_sandbox::fuzzing`.
//!
//! Each function is next to its decoder. A new one gets a line here, its seeds in `fuzz/seeds/` and a file in
//! `fuzz/fuzz_targets/`.

pub use crate::auth::fuzzing::auth;
pub use crate::message::fuzzing::{content, message};
pub use crate::messages::fuzzing::{file, past};
pub use crate::session::fuzzing::{passkey, worker_stanza};

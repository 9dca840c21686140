//! Everything that reads what others wrote, as functions of bytes (R5): the fuzz targets in `fuzz/` by their names.
//!
//! The functions stand beside what they try, and so do their property tests. The next one gets its line here, its seeds
//! in `fuzz/seeds/` and its file in `fuzz/fuzz_targets/`.

#[cfg(all(test, feature = "sandbox"))]
mod seeds;
#[cfg(all(test, feature = "sandbox"))]
mod tests;

pub use crate::auth::fuzzing::auth;
pub use crate::messages::fuzzing::{content, message};
#[cfg(feature = "sandbox")]
pub use crate::sandbox::fuzzing::{control, frames, media, qr, saved, scenario, stanza};

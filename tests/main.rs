//! All tests in one binary, because linking is what costs.

mod auth;
#[cfg(feature = "sandbox")]
mod baileys;
#[cfg(feature = "sandbox")]
mod control;
#[cfg(feature = "sandbox")]
mod sandbox;
mod support;

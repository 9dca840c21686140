//! All tests in one binary, because linking is what costs.

mod auth;
#[cfg(feature = "sandbox")]
mod baileys;
#[cfg(feature = "sandbox")]
mod cli;
#[cfg(feature = "sandbox")]
mod conformance;
#[cfg(feature = "sandbox")]
mod control;
mod refusals;
#[cfg(feature = "sandbox")]
mod sandbox;
#[cfg(feature = "sandbox")]
mod story;
mod support;

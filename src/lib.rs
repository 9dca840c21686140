#![recursion_limit = "512"]
//! wagres

#[cfg(feature = "sandbox")]
pub mod sandbox;

//! What tests share.

pub(crate) mod db;
#[cfg(feature = "sandbox")]
pub(crate) mod linked;
#[cfg(feature = "sandbox")]
pub(crate) mod world;

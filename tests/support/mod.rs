//! What tests share.

#[cfg(feature = "sandbox")]
pub(crate) mod browser;
pub(crate) mod db;
#[cfg(feature = "sandbox")]
pub(crate) mod linked;
pub(crate) mod until;
#[cfg(feature = "sandbox")]
pub(crate) mod world;

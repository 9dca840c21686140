//! What tests share.

#[cfg(feature = "sandbox")]
pub(crate) mod browser;
pub(crate) mod db;
#[cfg(feature = "sandbox")]
pub(crate) mod disk;
#[cfg(feature = "sandbox")]
pub(crate) mod docs;
#[cfg(feature = "sandbox")]
pub(crate) mod linked;
#[cfg(feature = "sandbox")]
pub(crate) mod npm;
#[cfg(feature = "sandbox")]
pub(crate) mod pooler;
#[cfg(feature = "sandbox")]
pub(crate) mod programs;
#[cfg(feature = "sandbox")]
pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod until;
#[cfg(feature = "sandbox")]
pub(crate) mod wire;
pub(crate) mod working;
#[cfg(feature = "sandbox")]
pub(crate) mod world;

//! Shared by all tests.

#[cfg(feature = "sandbox")]
pub(crate) mod browser;
pub(crate) mod db;
#[cfg(feature = "sandbox")]
pub(crate) mod disk;
pub(crate) mod docs;
pub(crate) mod in_process;
#[cfg(feature = "sandbox")]
pub(crate) mod linked;
pub(crate) mod logins;
#[cfg(feature = "sandbox")]
pub(crate) mod npm;
pub(crate) mod poison;
#[cfg(feature = "sandbox")]
pub(crate) mod pooler;
#[cfg(feature = "sandbox")]
pub(crate) mod programs;
#[cfg(feature = "sandbox")]
pub(crate) mod proxy;
#[cfg(feature = "sandbox")]
pub(crate) mod relay;
pub(crate) mod server;
pub(crate) mod until;
#[cfg(feature = "sandbox")]
pub(crate) mod world;

//! A model of the protocol.

pub mod guards;
pub mod protocol;

//! What every part that talks to Postgres shares.

pub mod fence;

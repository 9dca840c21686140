//! What tests share.

pub(crate) mod db;

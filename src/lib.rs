#![recursion_limit = "512"]
//! wagres

pub mod auth;
pub mod db;

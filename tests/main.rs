//! All tests in one binary, because linking is what costs.

mod auth;
mod support;

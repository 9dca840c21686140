//! X1 to X3: unmodified clients in the sandbox.

mod app_state;
mod linking;
mod text;
mod truth;

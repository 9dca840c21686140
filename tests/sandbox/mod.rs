//! X1 to X3: unmodified clients in the sandbox.

mod linking;
mod page;
mod text;
mod truth;

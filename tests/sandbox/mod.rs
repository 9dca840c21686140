//! X1 to X3: unmodified clients in the sandbox.

mod groups;
mod linking;
mod text;
mod truth;

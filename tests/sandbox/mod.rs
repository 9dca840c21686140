//! X1 to X3: unmodified clients in the sandbox.

mod faults;
mod linking;
mod text;
mod truth;

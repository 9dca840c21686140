//! X1 to X3: unmodified clients in the sandbox.

mod keys;
mod linking;
mod presence;
mod receipts;
mod text;
mod truth;

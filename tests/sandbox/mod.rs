//! X1 to X3: unmodified clients in the sandbox.

mod faults;
mod groups;
mod hostile;
mod linking;
mod media;
mod page;
mod text;
mod truth;

//! X1 to X3: unmodified clients in the sandbox.

mod app_state;
mod faults;
mod groups;
mod history;
mod hostile;
mod keys;
mod linking;
mod media;
mod page;
mod presence;
mod receipts;
mod text;
mod truth;

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
mod page_acts;
mod page_pictures;
mod presence;
mod receipts;
mod saved;
mod text;
mod truth;

//! Conversion between rows and WhatsApp messages. Pure: no database, no network, no clock except for timestamps in
//! messages.
//!
//! * [`content`]: a row of `wa.outbound`, and the message that it becomes.
//! * [`attachment`]: the file that such a row names.
//! * [`meaning`]: a received message in the columns of `wa.inbox`; [`file`](mod@file): its file; `card`: one with
//!   buttons and the like; `notice`: one that has no row there.
//! * `context`: what a message quotes, and when it disappears. `unwrap`: its content within wrappers. `vote`: votes.
//! * [`stored`]: a message in a row, converted back.
//! * [`json`]: any message as JSON, and back.
//!
//! The next kind of message: its rows in `sql/schema/30_message_kinds.sql`, and a variant of `content::Content`.

pub(crate) mod attachment;
mod card;
pub(crate) mod content;
pub(crate) mod context;
pub(crate) mod fields;
pub(crate) mod file;
#[cfg(any(test, feature = "sandbox"))]
pub(crate) mod fuzzing;
pub(crate) mod json;
pub(crate) mod meaning;
pub(crate) mod notice;
pub(crate) mod stored;
pub(crate) mod unwrap;
pub(crate) mod vote;

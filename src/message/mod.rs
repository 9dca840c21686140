//! Rows and WhatsApp messages, converted into each other. Pure: no database, no network, no clock but for timestamps in messages.
//!
//! * [`content`]: a row of `wa.outbound`, and the message that it becomes.
//! * [`attachment`]: what such a row says of its file.
//! * [`meaning`]: a received message in the columns of `wa.inbox`; [`file`](mod@file): its file.
//! * [`stored`]: a message as a row keeps it, back as a message.
//! * [`json`]: any message as JSON, and back.
//!
//! The next kind of message: its rows in `sql/schema`, a variant of `content::Content`.

pub(crate) mod attachment;
pub(crate) mod content;
pub(crate) mod file;
#[cfg(any(test, feature = "sandbox"))]
pub(crate) mod fuzzing;
pub(crate) mod json;
pub(crate) mod meaning;
pub(crate) mod stored;

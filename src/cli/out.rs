//! What commands print: answers on standard output, errors on standard error.
//!
//! The macros of the standard library panic when the reader of a pipe has gone, as `head` does after its lines. SIGPIPE
//! with its default action would end the process in silence, but also a worker that loses a socket, and setting it takes
//! unsafe code. So this module alone writes, and ends a command whose reader has gone.

use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;
use std::error::Error;
use std::io::{self, Write as _};

/// Writes a line. If nobody reads it, the command has nothing left to do, and the process ends.
pub(super) fn line(text: &str) {
    end_unless_written(write(&format!("{text}\n")));
}

/// Writes the prompt of the console.
pub(super) fn prompt(text: &str) {
    end_unless_written(write(text));
}

/// Writes `value` as a line of JSON, or `text`. As [`line`].
pub(super) fn print(json: bool, value: &serde_json::Value, text: &str) {
    if json { line(&value.to_string()) } else { line(text) }
}

/// As [`print()`], for programs that go on whether somebody reads this or not.
pub(super) fn announce(json: bool, value: &serde_json::Value, text: &str) {
    let text = if json { value.to_string() } else { text.to_owned() };
    if let Err(error) = write(&format!("{text}\n")) {
        tracing::warn!(%error, "standard output cannot be written");
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

fn end_unless_written(written: io::Result<()>) {
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            // Standard error may be the same full disk.
            let _ = writeln!(io::stderr(), "wagres: standard output: {error}");
            std::process::exit(1);
        }
    }
}

/// An error with its causes, each once: the texts of many errors repeat their cause. The database's own errors come
/// without the driver's words and its line numbers, and with their hint.
#[must_use]
pub fn error_text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    let mut hint = None;
    for refused in error.chain().filter_map(of_database) {
        text = text.replace(&refused.to_string(), refused.message());
        hint = hint.or(refused.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::hint));
    }
    for words in ["error returned from database: ", "error communicating with database: "] {
        text = text.replace(words, "");
    }
    hint.map_or_else(|| text.clone(), |hint| format!("{text}\n{hint}"))
}

fn of_database<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn DatabaseError + 'static)> {
    let inner = cause.downcast_ref::<Box<dyn DatabaseError>>().map(|inner| &**inner);
    inner.or_else(|| cause.downcast_ref::<sqlx::Error>()?.as_database_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::DbError;
    use anyhow::Context as _;

    #[test]
    fn h7_each_cause_of_an_error_is_shown_once() {
        let refused = || sqlx::Error::Io(io::Error::new(io::ErrorKind::ConnectionRefused, "Connection refused"));
        let shown = |error: anyhow::Error| error_text(&error);
        assert_eq!(shown(DbError::Connect(refused()).into()), "cannot connect to the database: Connection refused");
        assert_eq!(shown(refused().into()), "Connection refused");
        let in_context = Err::<(), _>(io::Error::other("cause")).context("what was done");
        assert_eq!(in_context.map_err(shown), Err("what was done: cause".to_owned()));
    }
}

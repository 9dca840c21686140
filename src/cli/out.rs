//! What commands print: answers on standard output, errors on standard error.
//!
//! The macros of the standard library panic when the reader of a pipe has gone, as `head` does after its lines. SIGPIPE
//! with its default action would end the process in silence, but also a worker that loses a socket, and setting it takes
//! unsafe code. So this module alone writes, and ends a command whose reader has gone.

use std::io::{self, Write as _};

/// Writes a line. If nobody reads it, the command has nothing left to do, and the process ends.
pub(super) fn line(text: &str) {
    end_unless_written(write(format!("{text}\n").as_bytes()));
}

/// Writes bytes as they are; else as [`line`].
pub(super) fn raw(bytes: &[u8]) {
    end_unless_written(write(bytes));
}

/// Writes `value` as a line of JSON, or `text`. As [`line`].
pub(super) fn print(json: bool, value: &serde_json::Value, text: &str) {
    if json { line(&value.to_string()) } else { line(text) }
}

/// As [`print()`], for programs that go on whether somebody reads this or not.
pub(super) fn announce(json: bool, value: &serde_json::Value, text: &str) {
    let text = if json { value.to_string() } else { text.to_owned() };
    if let Err(error) = write(format!("{text}\n").as_bytes()) {
        tracing::warn!(%error, "standard output cannot be written");
    }
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())
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

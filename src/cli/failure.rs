//! What a command says on standard error when it fails: words, or with `--json` an object with `error`, `code`, `message`
//! and `hint`.

use super::exit::{Exit, of_database};
use serde_json::{Value, json};
use sqlx::postgres::PgDatabaseError;
use std::io::Write as _;
use std::process::ExitCode;

/// A failure, in parts.
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// The SQLSTATE, if the database refused; else the name of the exit code.
    pub(super) code: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Failure {
    /// `meant` is the name that exists and is nearest to an unknown one.
    pub(super) fn of(error: &anyhow::Error, meant: Option<&str>) -> Self {
        let (exit, message) = (Exit::of(error), message(error));
        let refused = error.chain().find_map(of_database);
        let code = refused.and_then(|refused| Some(refused.code()?.into_owned()));
        let hint = refused
            .and_then(|refused| refused.try_downcast_ref::<PgDatabaseError>()?.hint())
            .map(str::to_owned)
            .or_else(|| (exit == Exit::NoDatabase && is_schema(code.as_deref())).then(|| "wagres migrate".to_owned()));
        let hint = match (meant, hint) {
            (Some(meant), Some(hint)) => Some(format!("Did you mean \"{meant}\"? {hint}")),
            (Some(meant), None) => Some(format!("Did you mean \"{meant}\"?")),
            (None, hint) => hint,
        };
        Self { exit, code: code.unwrap_or_else(|| exit.name().to_owned()), message, hint }
    }

    /// A command line that clap refused.
    pub(super) fn of_usage(error: &clap::Error) -> Self {
        let text = error.to_string();
        let (message, hint) = text.trim_end().split_once("\n\n").unwrap_or((text.trim_end(), ""));
        let message = message.strip_prefix("error: ").unwrap_or(message).to_owned();
        let hint = (!hint.is_empty()).then(|| hint.trim().to_owned());
        Self { exit: Exit::Usage, code: Exit::Usage.name().to_owned(), message, hint }
    }

    /// Writes it to standard error, and returns its exit code.
    pub(super) fn report(&self, json: bool) -> ExitCode {
        let text = if json { self.json().to_string() } else { format!("wagres: {}", self.text()) };
        // Whoever reads this may have gone, too.
        let _ = writeln!(std::io::stderr(), "{text}");
        self.exit.into()
    }

    pub(super) fn json(&self) -> Value {
        json!({ "error": self.exit.name(), "code": self.code, "message": self.message, "hint": self.hint })
    }

    pub(super) fn text(&self) -> String {
        self.hint.as_ref().map_or_else(|| self.message.clone(), |hint| format!("{}\n{hint}", self.message))
    }
}

fn is_schema(code: Option<&str>) -> bool {
    matches!(code, Some("3F000" | "42P01" | "42883"))
}

/// An error with its causes, each once: the texts of many errors repeat their cause. The database's own errors come
/// without the driver's words and its line numbers.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    for refused in error.chain().filter_map(of_database) {
        text = text.replace(&refused.to_string(), refused.message());
    }
    for words in ["error returned from database: ", "error communicating with database: "] {
        text = text.replace(words, "");
    }
    text
}

/// An error and its hint, in words.
pub(super) fn error_text(error: &anyhow::Error) -> String {
    Failure::of(error, None).text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::DbError;
    use anyhow::Context as _;
    use std::io;

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

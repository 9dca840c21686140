//! The log: lines of text or of JSON on standard error.
//!
//! Each line of a session carries the span `session` (session, epoch), each line of a job the span `job` (kind, id).
//! The client library's lines do, too: [`super::crypto::SessionTask`] enters the span around every poll of a session's
//! tasks.

use super::crypto::LibraryErrors;
use crate::config::LogFormat;
use metrics::counter;
use std::io::IsTerminal as _;
use tracing_subscriber::filter::{LevelFilter, ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

/// The log cannot start.
#[derive(Debug, thiserror::Error)]
#[error("configuration: log: {filter:?} is not accepted; accepted is a filter such as info,wagres=debug: {source}")]
pub struct LogError {
    filter: String,
    source: ParseError,
}

/// Starts the log, once in a process. It goes to standard error, because standard output is for results.
///
/// # Errors
/// The filter cannot be parsed.
pub fn start(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter).map_err(|source| LogError { filter: filter.to_owned(), source })?;
    // The library logs URLs with the tokens in them; the job's row says why a download failed. Readers of media log the
    // bytes that they cannot read; a file that cannot be read is sent without size and length.
    let shown = filter_fn(|metadata| {
        let target = metadata.target();
        target != "whatsapp_rust::download" && !["nom_exif", "lofty"].iter().any(|it| target.starts_with(it))
    });
    // Colours are for eyes: a file or a pipe gets none.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    let layer = tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(shown).and_then(CountLog).with_filter(filter))
        // Decryption failures are counted whatever the filter shows.
        .with(LibraryErrors.with_filter(LevelFilter::ERROR))
        .init();
    Ok(())
}

/// Counts errors and warnings.
#[derive(Debug)]
struct CountLog;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for CountLog {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warn",
            _ => return,
        };
        counter!("wagres_log_lines_total", "level" => level).increment(1);
    }
}

//! Finds the session of a decryption failure (S8) and of a log line of the client library.
//!
//! The library recovers by itself: it asks for a message again, and retries app state. It does not say which session
//! failed. But it counts (`wa_retry_receipt_total`, reason `bad_mac`), it logs (`wacore::appstate_sync`), and it lets
//! each client's tasks be instrumented. So [`SessionTask`] notes at each poll which session's task runs, and whatever
//! is counted or logged during the poll belongs to that session.
//!
//! [`BadMacRecorder`] has to be the process's metrics recorder, or around it, and [`LibraryErrors`] a layer of its
//! log; `wagres` sets up both.

use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use tracing::Span;
use wacore::stats::TaskInstrument;

/// A decryption failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CryptoError {
    /// A message did not fit its Signal session.
    BadMac,
    /// App state did not fit its key.
    BadDecrypt,
}

impl CryptoError {
    /// Its name in SQL and in the labels of metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadMac => "bad_mac",
            Self::BadDecrypt => "bad_decrypt",
        }
    }
}

thread_local! {
    /// The sessions whose tasks are polled on this thread, the innermost last.
    static POLLED: RefCell<Vec<Arc<PolledSession>>> = const { RefCell::new(vec![]) };
    /// A Bad Decrypt was reported within the outermost poll. The library logs one failure at several levels.
    static REPORTED: Cell<bool> = const { Cell::new(false) };
    /// Within the outermost poll a message was decrypted and not readable.
    static UNREADABLE: Cell<bool> = const { Cell::new(false) };
}

#[derive(Debug)]
struct PolledSession {
    errors: UnboundedSender<CryptoError>,
    span: Span,
}

/// Marks the tasks of one session's client: what they count and log during a poll is the session's.
#[derive(Debug)]
pub struct SessionTask(Arc<PolledSession>);

impl SessionTask {
    /// Sends the decryption failures of those tasks to `errors`, and puts their log lines into `span`.
    #[must_use]
    pub fn new(errors: UnboundedSender<CryptoError>, span: Span) -> Self {
        Self(Arc::new(PolledSession { errors, span }))
    }
}

impl TaskInstrument for SessionTask {
    fn on_poll_start(&self) {
        self.0.span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
        POLLED.with_borrow_mut(|polled| {
            if polled.is_empty() {
                REPORTED.set(false);
                UNREADABLE.set(false);
            }
            polled.push(self.0.clone());
        });
    }

    fn on_poll_end(&self) {
        POLLED.with_borrow_mut(Vec::pop);
        self.0.span.with_subscriber(|(id, subscriber)| subscriber.exit(id));
    }
}

/// Reports to the session whose task runs on this thread, if one does.
fn report(error: CryptoError) {
    POLLED.with_borrow(|polled| {
        if let Some(session) = polled.last() {
            // A client that has ended has no receiver; the next one starts with fresh counters.
            session.errors.send(error).unwrap_or_default();
        }
    });
}

/// Whether the message that the library has just given up was decrypted and is no message of the protocol. The library
/// reports such a message like one that it could not decrypt, within the same poll; only its log tells the two apart.
#[must_use]
pub fn plaintext_unreadable() -> bool {
    UNREADABLE.replace(false)
}

/// A metrics recorder that passes everything to another one and reports Bad MACs.
#[derive(Debug)]
pub struct BadMacRecorder<R>(pub R);

struct BadMacCounter(Counter);

impl CounterFn for BadMacCounter {
    fn increment(&self, value: u64) {
        self.0.increment(value);
        for _ in 0..value {
            report(CryptoError::BadMac);
        }
    }

    fn absolute(&self, value: u64) {
        self.0.absolute(value);
    }
}

impl<R: Recorder> Recorder for BadMacRecorder<R> {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        let counter = self.0.register_counter(key, metadata);
        let mut labels = key.labels();
        if key.name() == "wa_retry_receipt_total" && labels.any(|it| it.key() == "reason" && it.value() == "bad_mac") {
            return Counter::from_arc(Arc::new(BadMacCounter(counter)));
        }
        counter
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.0.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.0.register_histogram(key, metadata)
    }
}

/// A layer of the log that reports Bad Decrypts, and messages that were decrypted and cannot be read.
#[derive(Debug)]
pub struct LibraryErrors;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for LibraryErrors {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() != tracing::Level::ERROR {
            return;
        }
        match metadata.target() {
            "wacore::appstate_sync" if Mentions::any(event, &MISMATCH) && !REPORTED.replace(true) => {
                report(CryptoError::BadDecrypt);
            }
            "whatsapp_rust::message::receive" if Mentions::any(event, &NOT_A_MESSAGE) => UNREADABLE.set(true),
            _ => {}
        }
    }
}

/// An error of app state is a mismatch with the key, rather than a missing key or an outage of the database.
const MISMATCH: [&str; 4] = ["macmismatch", "mac mismatch", "decryptionfailed", "decryption failed"];
/// A decrypted message is no message of the protocol.
const NOT_A_MESSAGE: [&str; 12] = [
    "failed to decode decrypted plaintext",
    "plaintext is empty",
    "invalid padding",
    "unexpected end of buffer",
    "varint exceeded",
    "invalid wire type",
    "invalid field number",
    "message length exceeds",
    "wire type mismatch",
    "invalid utf-8",
    "recursion limit exceeded",
    "invalid end-group tag",
];

/// Whether a line of the log contains one of some words.
struct Mentions<'a>(&'a [&'a str], bool);

impl<'a> Mentions<'a> {
    fn any(event: &tracing::Event<'_>, words: &'a [&'a str]) -> bool {
        let mut mentions = Self(words, false);
        event.record(&mut mentions);
        mentions.1
    }
}

impl tracing::field::Visit for Mentions<'_> {
    fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        let line = format!("{value:?}").to_lowercase();
        self.1 |= self.0.iter().any(|word| line.contains(word));
    }
}

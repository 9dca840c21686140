//! Finds the session of a decryption failure (S8) and of a log line of the client library.
//!
//! The library recovers by itself: it asks for a message again, and retries app state. It does not say which session
//! failed. But it counts (`wa_retry_receipt_total`, reason `bad_mac`), it logs (`wacore::appstate_sync`), and it lets
//! each client's tasks be instrumented. So [`SessionTask`] notes at each poll which session's task runs, and whatever
//! is counted or logged during the poll belongs to that session.
//!
//! [`BadMacRecorder`] has to be the process's metrics recorder, or around it, and [`AppStateErrors`] a layer of its
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

/// A layer of the log that reports Bad Decrypts.
#[derive(Debug)]
pub struct AppStateErrors;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for AppStateErrors {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() != tracing::Level::ERROR || metadata.target() != "wacore::appstate_sync" {
            return;
        }
        let mut mismatch = Mismatch(false);
        event.record(&mut mismatch);
        if mismatch.0 && !REPORTED.replace(true) {
            report(CryptoError::BadDecrypt);
        }
    }
}

/// Whether an error is a mismatch with the key, rather than a missing key or an outage of the database.
struct Mismatch(bool);

impl tracing::field::Visit for Mismatch {
    fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        let error = format!("{value:?}").to_lowercase();
        self.0 |= ["macmismatch", "mac mismatch", "decryptionfailed", "decryption failed"]
            .iter()
            .any(|it| error.contains(it));
    }
}

//! Which session could not decrypt something (S8), and whose log line is whose.
//!
//! The library recovers by itself: it asks for a message again, and for app state again and again. It does not say which
//! session failed. But it counts (`wa_retry_receipt_total`, reason `bad_mac`), it logs (`wacore::appstate_sync`), and it
//! lets each client's tasks be instrumented. So [`SessionTask`] notes on each poll whose task runs, and whatever is counted or
//! logged meanwhile belongs to that session.
//!
//! [`Attributing`] has to be the process's recorder of figures, or around it, and [`HearAppState`] a layer of its log;
//! `wagres` sets up both.

use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use tracing::Span;
use wacore::stats::TaskInstrument;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CryptoError {
    /// The ratchet of a message did not fit.
    BadMac,
    /// App state did not fit its key.
    BadDecrypt,
}

impl CryptoError {
    /// Its name in SQL and in figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadMac => "bad_mac",
            Self::BadDecrypt => "bad_decrypt",
        }
    }
}

thread_local! {
    /// Whose task is being polled on this thread, the innermost last.
    static POLLED: RefCell<Vec<Arc<Listener>>> = const { RefCell::new(vec![]) };
    /// App state failed within the outermost poll. The log says so at several levels of one failure.
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

#[derive(Debug)]
struct Listener {
    errors: UnboundedSender<CryptoError>,
    span: Span,
}

/// Marks the tasks of one session's client: what they count and log while they are polled is the session's.
#[derive(Debug)]
pub struct SessionTask(Arc<Listener>);

impl SessionTask {
    /// Sends the crypto errors of those tasks to `errors`, and puts their log lines into `span`.
    #[must_use]
    pub fn new(errors: UnboundedSender<CryptoError>, span: Span) -> Self {
        Self(Arc::new(Listener { errors, span }))
    }
}

impl TaskInstrument for SessionTask {
    fn on_poll_start(&self) {
        self.0.span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
        POLLED.with_borrow_mut(|polled| {
            if polled.is_empty() {
                TOLD.set(false);
            }
            polled.push(self.0.clone());
        });
    }

    fn on_poll_end(&self) {
        POLLED.with_borrow_mut(Vec::pop);
        self.0.span.with_subscriber(|(id, subscriber)| subscriber.exit(id));
    }
}

/// Tells the session whose task runs on this thread, if one does.
fn tell(error: CryptoError) {
    POLLED.with_borrow(|polled| {
        if let Some(listener) = polled.last() {
            // A client that has ended has no receiver, and the next one starts with counters of its own.
            listener.errors.send(error).unwrap_or_default();
        }
    });
}

/// A recorder that hears of Bad MACs what another one records.
#[derive(Debug)]
pub struct Attributing<R>(pub R);

struct Heard(Counter);

impl CounterFn for Heard {
    fn increment(&self, value: u64) {
        self.0.increment(value);
        for _ in 0..value {
            tell(CryptoError::BadMac);
        }
    }

    fn absolute(&self, value: u64) {
        self.0.absolute(value);
    }
}

impl<R: Recorder> Recorder for Attributing<R> {
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
            return Counter::from_arc(Arc::new(Heard(counter)));
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

/// A layer of the log that hears of Bad Decrypts.
#[derive(Debug)]
pub struct HearAppState;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for HearAppState {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() != tracing::Level::ERROR || metadata.target() != "wacore::appstate_sync" {
            return;
        }
        let mut mismatch = Mismatch(false);
        event.record(&mut mismatch);
        if mismatch.0 && !TOLD.replace(true) {
            tell(CryptoError::BadDecrypt);
        }
    }
}

/// Whether an error says that something does not fit its key, rather than that the key is missing or the database away.
struct Mismatch(bool);

impl tracing::field::Visit for Mismatch {
    fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        let error = format!("{value:?}").to_lowercase();
        self.0 |= ["macmismatch", "mac mismatch", "decryptionfailed", "decryption failed"]
            .iter()
            .any(|it| error.contains(it));
    }
}

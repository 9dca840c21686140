//! What a session could not decrypt (S8).
//!
//! The library recovers by itself: it asks for a message again, and for app state again and again. It tells nobody which
//! session that was. But it counts (`wa_retry_receipt_total`, reason `bad_mac`) and logs (`wacore::appstate_sync`), and it
//! lets each client's tasks be accompanied. So whoever polls a task of a session notes whose it is, and whatever is counted
//! or logged meanwhile is that session's.
//!
//! For this [`Attributing`] has to be the process's recorder of figures, or around it, and [`HearAppState`] a layer of its
//! log; `wagres` sets up both.

use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
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
    static POLLED: RefCell<Vec<Arc<Ear>>> = const { RefCell::new(vec![]) };
    /// App state failed within the outermost poll. The log says so at several levels of one failure.
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

#[derive(Debug)]
struct Ear(UnboundedSender<CryptoError>);

/// Accompanies the tasks of one session's client.
#[derive(Debug)]
pub struct Accompany(Arc<Ear>);

impl Accompany {
    /// What goes wrong in those tasks is told to `heard`.
    #[must_use]
    pub fn new(heard: UnboundedSender<CryptoError>) -> Self {
        Self(Arc::new(Ear(heard)))
    }
}

impl TaskInstrument for Accompany {
    fn on_poll_start(&self) {
        POLLED.with_borrow_mut(|polled| {
            if polled.is_empty() {
                TOLD.set(false);
            }
            polled.push(self.0.clone());
        });
    }

    fn on_poll_end(&self) {
        POLLED.with_borrow_mut(Vec::pop);
    }
}

/// Tells the session whose task runs on this thread, if one does.
fn tell(error: CryptoError) {
    POLLED.with_borrow(|polled| {
        if let Some(Ear(heard)) = polled.last().map(Arc::as_ref) {
            // Nobody hears it any more when the client ends, and the next one begins to count anew.
            heard.send(error).unwrap_or_default();
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

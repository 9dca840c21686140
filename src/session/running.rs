//! A running client and the task that supervises it, as the registry uses them.

use super::passkey::PasskeySignal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use whatsapp_rust::client::Client;

/// Decides which of the two sides writes what follows the end of a connection.
#[derive(Debug, Default)]
pub(super) struct End {
    asked_for: CancellationToken,
    over: AtomicBool,
}

impl End {
    /// Marks the connection as over. True when nobody asked for its end, so that the supervising task writes what
    /// follows.
    pub(super) fn mark_over(&self) -> bool {
        self.over.store(true, Ordering::Release);
        !self.asked_for.is_cancelled()
    }

    /// Waits until somebody asks for the end.
    pub(super) async fn asked_for(&self) {
        self.asked_for.cancelled().await;
    }
}

/// A running client and its task.
pub(super) struct Running {
    pub(super) client: Arc<Client>,
    pub(super) task: JoinHandle<()>,
    pub(super) end: Arc<End>,
    /// The channel to the driver of a passkey, while the session is not linked.
    pub(super) passkey: Option<UnboundedSender<PasskeySignal>>,
}

impl Running {
    /// Whether the connection is not over yet. What follows its end may still be under way: see [`Running::join`].
    pub(super) fn is_connected(&self) -> bool {
        !self.end.over.load(Ordering::Acquire) && !self.task.is_finished()
    }

    /// Waits until what follows the connection's end is written. The row of the next connection is visible before the
    /// task that wrote it has ended, so without this the next connection may be made too early.
    pub(super) async fn join(self) {
        log_panic(self.task.await);
    }

    /// The row of a linking with a passkey has changed.
    pub(super) fn continue_linking(&self) {
        if let Some(passkey) = &self.passkey {
            // The driver ends with its client, and the next driver reads the row by itself.
            drop(passkey.send(PasskeySignal::Continue));
        }
    }

    /// The caller writes what follows the end.
    pub(super) fn expect_end(&self) {
        self.end.asked_for.cancel();
    }

    /// Disconnects in order (state flushed) and waits for the end.
    pub(super) async fn disconnect(&mut self) {
        self.client.disconnect().await;
        log_panic((&mut self.task).await);
    }
}

fn log_panic(task: Result<(), tokio::task::JoinError>) {
    if let Err(error) = task {
        tracing::error!(%error, "supervisor panicked");
    }
}

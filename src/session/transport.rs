//! The socket of a session, fenced: once the hold is lost, it is closed and sends nothing (R4).
//!
//! We cannot wait for the client library. It writes before it closes, which may take as long as an outage of the
//! database; and when its store fails it continues: it encrypts with keys that were never stored, and sends.

use anyhow::bail;
use bytes::Bytes;
use std::sync::Arc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use wacore::stats::TransportResourceReport;
use whatsapp_rust::transport::{Transport, TransportEvent, TransportFactory};
use whatsapp_rust::{async_channel::Receiver, async_trait};

/// Wraps another factory: its sockets send until the hold is lost.
pub struct FencedFactory<F> {
    /// What opens the socket.
    pub inner: F,
    /// Cancelled when the hold is lost.
    pub lost: CancellationToken,
    /// Runs the task that closes the socket.
    pub tasks: TaskTracker,
}

#[async_trait]
impl<F: TransportFactory> TransportFactory for FencedFactory<F> {
    async fn create_transport(&self) -> anyhow::Result<(Arc<dyn Transport>, Receiver<TransportEvent>)> {
        if self.lost.is_cancelled() {
            bail!("the session is no longer held here");
        }
        let (inner, events) = self.inner.create_transport().await?;
        let open = CancellationToken::new();
        let (lost, dropped, socket) = (self.lost.clone(), open.clone(), inner.clone());
        let guard = async move {
            tokio::select! {
                () = dropped.cancelled() => {}
                () = lost.cancelled() => socket.disconnect().await,
            }
        };
        self.tasks.spawn(guard.in_current_span());
        Ok((Arc::new(FencedSocket { inner, lost: self.lost.clone(), _open: open.drop_guard() }), events))
    }
}

struct FencedSocket {
    inner: Arc<dyn Transport>,
    lost: CancellationToken,
    /// Ends the task that closes the socket.
    _open: DropGuard,
}

#[async_trait]
impl Transport for FencedSocket {
    async fn send(&self, data: Bytes) -> anyhow::Result<()> {
        if self.lost.is_cancelled() {
            bail!("the session is no longer held here");
        }
        self.inner.send(data).await
    }

    async fn disconnect(&self) {
        self.inner.disconnect().await;
    }

    fn resource_report(&self) -> Option<TransportResourceReport> {
        self.inner.resource_report()
    }
}

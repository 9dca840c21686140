//! The socket of a session, fenced: once the hold is lost, or the connection is cut for another reason, it is closed and
//! sends nothing (R4).
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

/// Wraps another factory: its sockets send until they are cut.
pub struct FencedFactory<F> {
    /// What opens the socket.
    pub inner: F,
    /// Cuts the sockets; cancelled when the hold is lost, or earlier.
    pub cut: CancellationToken,
    /// Runs the task that closes the socket.
    pub tasks: TaskTracker,
}

#[async_trait]
impl<F: TransportFactory> TransportFactory for FencedFactory<F> {
    async fn create_transport(&self) -> anyhow::Result<(Arc<dyn Transport>, Receiver<TransportEvent>)> {
        if self.cut.is_cancelled() {
            bail!("the connection was cut");
        }
        let (inner, events) = self.inner.create_transport().await?;
        let open = CancellationToken::new();
        let (cut, dropped, socket) = (self.cut.clone(), open.clone(), inner.clone());
        let guard = async move {
            tokio::select! {
                () = dropped.cancelled() => {}
                () = cut.cancelled() => socket.disconnect().await,
            }
        };
        self.tasks.spawn(guard.in_current_span());
        Ok((Arc::new(FencedSocket { inner, cut: self.cut.clone(), _open: open.drop_guard() }), events))
    }
}

struct FencedSocket {
    inner: Arc<dyn Transport>,
    cut: CancellationToken,
    /// Ends the task that closes the socket.
    _open: DropGuard,
}

#[async_trait]
impl Transport for FencedSocket {
    async fn send(&self, data: Bytes) -> anyhow::Result<()> {
        if self.cut.is_cancelled() {
            bail!("the connection was cut");
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

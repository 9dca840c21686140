//! The socket of a session, fenced: nothing leaves through it once the hold is lost.
//!
//! A client whose store begins to fail goes on without it: it encrypts with keys that were never kept, and sends. After a
//! lost hold its store fails on purpose, so the socket has to refuse first (R4).

use anyhow::bail;
use bytes::Bytes;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use wacore::stats::TransportResourceReport;
use whatsapp_rust::transport::{Transport, TransportEvent, TransportFactory};
use whatsapp_rust::{async_channel::Receiver, async_trait};

/// Makes sockets of another factory that send until `stale`.
pub struct Fenced<F> {
    /// What opens the socket.
    pub inner: F,
    /// The hold is lost.
    pub stale: CancellationToken,
}

#[async_trait]
impl<F: TransportFactory> TransportFactory for Fenced<F> {
    async fn create_transport(&self) -> anyhow::Result<(Arc<dyn Transport>, Receiver<TransportEvent>)> {
        if self.stale.is_cancelled() {
            bail!("the session is no longer held here");
        }
        let (inner, events) = self.inner.create_transport().await?;
        Ok((Arc::new(Fence { inner, stale: self.stale.clone() }), events))
    }
}

struct Fence {
    inner: Arc<dyn Transport>,
    stale: CancellationToken,
}

#[async_trait]
impl Transport for Fence {
    async fn send(&self, data: Bytes) -> anyhow::Result<()> {
        if self.stale.is_cancelled() {
            self.inner.disconnect().await;
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

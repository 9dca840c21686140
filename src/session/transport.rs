//! The socket of a session, fenced: once the hold is lost, or the connection is cut for another reason, it is closed and
//! sends nothing (R4). While the worker's last heartbeat is too old, it sends nothing either: another worker may have the
//! session by now, and the task that cuts this socket need not have run (P6).
//!
//! We cannot wait for the client library. It writes before it closes, which may take as long as an outage of the
//! database; and when its store fails it continues: it encrypts with keys that were never stored, and sends.

use crate::db::proof::Proof;
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
    /// What a frame waits for.
    pub proof: Proof,
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
        let (cut, proof) = (self.cut.clone(), self.proof.clone());
        Ok((Arc::new(FencedSocket { inner, cut, proof, _open: open.drop_guard() }), events))
    }
}

struct FencedSocket {
    inner: Arc<dyn Transport>,
    cut: CancellationToken,
    proof: Proof,
    /// Ends the task that closes the socket.
    _open: DropGuard,
}

#[async_trait]
impl Transport for FencedSocket {
    async fn send(&self, data: Bytes) -> anyhow::Result<()> {
        tokio::select! {
            biased;
            () = self.cut.cancelled() => bail!("the connection was cut"),
            () = self.proof.fresh() => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::proof::{FRESH, Moment};
    use futures::FutureExt as _;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use whatsapp_rust::async_channel;

    /// Counts frames.
    #[derive(Default)]
    struct Wire(AtomicUsize);

    #[async_trait]
    impl Transport for Wire {
        async fn send(&self, _: Bytes) -> anyhow::Result<()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        async fn disconnect(&self) {}
    }

    struct Wires(Arc<Wire>);

    #[async_trait]
    impl TransportFactory for Wires {
        async fn create_transport(&self) -> anyhow::Result<(Arc<dyn Transport>, Receiver<TransportEvent>)> {
            Ok((self.0.clone(), async_channel::unbounded().1))
        }
    }

    /// As in a process that wakes: neither the task that counts heartbeats nor the one that closes the socket has run.
    #[tokio::test]
    async fn r12_r4_p6_a_socket_sends_nothing_while_the_last_heartbeat_is_too_old() -> anyhow::Result<()> {
        let (wire, cut) = (Arc::<Wire>::default(), CancellationToken::new());
        let (proof, tasks) = (Proof::since(Moment::now(), FRESH), TaskTracker::new());
        let factory = FencedFactory { inner: Wires(wire.clone()), cut: cut.clone(), proof: proof.clone(), tasks };
        let (socket, _events) = factory.create_transport().await?;
        let sent = || wire.0.load(Ordering::Relaxed);
        socket.send(Bytes::new()).await?;
        assert_eq!(sent(), 1);

        proof.renew(Moment::long_ago());
        let mut waits = socket.send(Bytes::new());
        assert!(waits.as_mut().now_or_never().is_none());
        assert_eq!(sent(), 1, "sent without a lease");
        proof.renew(Moment::now());
        waits.await?;
        assert_eq!(sent(), 2);

        proof.renew(Moment::long_ago());
        let waits = socket.send(Bytes::new());
        cut.cancel();
        assert!(waits.await.is_err());
        assert_eq!(sent(), 2);
        Ok(())
    }
}

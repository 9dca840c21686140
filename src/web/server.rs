//! The network side of the listener: what a client may keep open, and for how long.

use super::client::{Client, is_trusted};
use super::shares::{Share, Shares};
use crate::config::WebConfig;
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use futures::stream::{self, StreamExt as _};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use std::io::{IoSlice, Result};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::ServiceExt as _;

/// How long a client may take for the head of a request, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(30);
/// How long it may take for the body of a request.
const BODY: Duration = Duration::from_secs(30);
/// How long open streams may take to end at a stop.
const ENDING: Duration = Duration::from_secs(2);
/// The pause after the system refused a connection, which it does when it is out of files.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections and serves them.
pub(super) struct Server {
    listener: TcpListener,
    router: Router,
    proxies: Vec<IpNet>,
    clients: Shares<Client>,
    builder: Builder,
}

impl Server {
    pub(super) fn new(listener: TcpListener, router: Router, settings: &WebConfig) -> Self {
        let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let mut builder = Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
        Self {
            listener,
            router,
            proxies: settings.trusted_proxies.clone(),
            clients: Shares::new(count(settings.clients_per_address), count(settings.clients)),
            builder,
        }
    }

    /// Serves until `stop`, and then what is under way for a moment.
    pub(super) async fn run(self, stop: CancellationToken) {
        let open = TaskTracker::new();
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => self.serve(stream, peer, &open, stop.clone()),
                Err(error) => {
                    tracing::debug!(%error, "connection of a page not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        open.close();
        let _ = tokio::time::timeout(ENDING, open.wait()).await;
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr, open: &TaskTracker, stop: CancellationToken) {
        let client = Client::of(peer.ip(), &HeaderMap::new(), &[]);
        let share = if is_trusted(&self.proxies, peer.ip()) {
            self.clients.take_any(client)
        } else {
            self.clients.take(client)
        };
        let Some(share) = share else { return };
        let router = self.router.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.map(in_time)
        });
        let stream = Counted { stream, _share: share, _open: open.token() };
        let connection = self.builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        tokio::spawn(async move {
            let mut connection = pin!(connection.with_upgrades());
            // A client that goes away, or is too slow, is no fault of ours.
            if stop.run_until_cancelled(connection.as_mut()).await.is_none() {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        });
    }
}

/// A body that fails when it takes too long as a whole, however often a part of it comes.
fn in_time(body: Incoming) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    let end = Instant::now() + BODY;
    Body::from_stream(stream::try_unfold(Body::new(body).into_data_stream(), move |mut rest| async move {
        match timeout_at(end, rest.next()).await {
            Ok(part) => Ok(part.transpose()?.map(|part| (part, rest))),
            Err(late) => Err(axum::Error::new(late)),
        }
    }))
}

/// A connection that counts until it is closed, also as a WebSocket, which outlives the HTTP connection that it was.
struct Counted {
    stream: TcpStream,
    _share: Share<Client>,
    _open: TaskTrackerToken,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

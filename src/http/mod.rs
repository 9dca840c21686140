//! The HTTP server. It shows the worker's state and decides nothing.

use crate::telemetry::{self, Usage};
use crate::worker::{Phase, Window};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The answer of `GET /health`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    /// `ok`, `starting`, `waiting` (for the database), `stuck` (behind a batch that cannot be written) or `stopping`.
    status: &'static str,
    /// Seconds since the process began to serve.
    uptime: f64,
    timestamp: DateTime<Utc>,
    /// Sessions that are logged in.
    active_clients: usize,
    /// The sessions that the worker holds, by name, and whether each is logged in.
    clients: BTreeMap<String, bool>,
    /// Seconds that the oldest outcome or receipt has waited for its write.
    oldest_change: f64,
    memory: Memory,
}

/// Memory of the process, in bytes.
#[derive(Debug, Serialize)]
struct Memory {
    rss: u64,
}

#[derive(Clone)]
struct HttpState {
    window: Window,
    since: Instant,
}

/// Serves `/health` and `/metrics` until `stop`. Returns the bound address, which is new for port 0, and the task.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    window: Window,
    stop: CancellationToken,
) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    telemetry::install();
    let router = Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(HttpState { window, since: Instant::now() });
    let task = tokio::spawn(async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
        if let Err(error) = serving.await {
            tracing::error!(%error, "HTTP server failed; /health and /metrics do not answer");
        }
    });
    Ok((bound, task))
}

/// 200 while the worker takes work, else 503.
async fn health(State(state): State<HttpState>) -> (StatusCode, Json<Health>) {
    let phase = *state.window.phase.borrow();
    let (code, status) = match phase {
        Phase::Working if state.window.is_stuck() => (StatusCode::SERVICE_UNAVAILABLE, "stuck"),
        Phase::Working => (StatusCode::OK, "ok"),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Phase::Waiting => (StatusCode::SERVICE_UNAVAILABLE, "waiting"),
        Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    let load = state.window.load();
    let health = Health {
        status,
        uptime: state.since.elapsed().as_secs_f64(),
        timestamp: telemetry::wall_clock(),
        active_clients: load.connected,
        clients: state.window.clients(),
        oldest_change: load.oldest_change.as_secs_f64(),
        memory: Memory { rss: Usage::now().memory },
    };
    (code, Json(health))
}

/// The text format of Prometheus.
async fn metrics(State(state): State<HttpState>) -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry::render(state.window.load()))
}

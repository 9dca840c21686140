//! The private HTTP server, for supervisors and for Prometheus. It shows the worker's state and decides nothing.

use crate::session::registry::HeldSession;
use crate::telemetry::{self, Load, Usage};
use crate::worker::{Phase, Window};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Most sessions in one answer of `GET /health`.
const CLIENTS: usize = 1000;

/// The answer of `GET /livez`.
#[derive(Debug, Serialize)]
struct Alive {
    /// Always true: a process that does not live does not answer.
    alive: bool,
}

/// The answer of `GET /health`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    /// See [`readiness`].
    status: &'static str,
    /// Seconds since the process began to serve.
    uptime: f64,
    timestamp: DateTime<Utc>,
    /// Sessions that are logged in.
    active_clients: usize,
    /// The sessions that the worker holds, in the order of their names; [`CLIENTS`] at most.
    clients: Vec<Client>,
    /// How many sessions the worker holds.
    clients_total: usize,
    /// Seconds that the oldest outcome or receipt has waited for its write.
    oldest_change: f64,
    memory: Memory,
}

/// A session that the worker holds.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Client {
    /// `wa.session.name`.
    account_id: Arc<str>,
    /// As in `wa.session.status`.
    status: &'static str,
    /// Whether the phone number is known, which it is once the session is linked.
    has_phone: bool,
}

impl From<HeldSession> for Client {
    fn from(held: HeldSession) -> Self {
        Self { account_id: held.session, status: held.status.name(), has_phone: held.phone_known }
    }
}

/// Memory of the process, in MB of 1,000,000 bytes.
#[derive(Debug, Serialize)]
struct Memory {
    rss: u64,
}

#[derive(Clone)]
struct HttpState {
    window: Window,
    since: Instant,
}

/// Serves `/livez`, `/health` and `/metrics` until `stop`. Returns the bound address, which is new for port 0, and the
/// task.
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
        .route("/livez", get(livez))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(HttpState { window, since: Instant::now() });
    let task = tokio::spawn(async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
        if let Err(error) = serving.await {
            tracing::error!(%error, "HTTP server failed; /livez, /health and /metrics do not answer");
        }
    });
    Ok((bound, task))
}

/// Serves `/livez` and `/metrics` of a process without a worker until `stop`. Returns the bound address and the task.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve_figures(
    address: SocketAddr,
    stop: CancellationToken,
) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    telemetry::install();
    let figures = async || (FORMAT, telemetry::render(Load::default()));
    let router = Router::new().route("/livez", get(livez)).route("/metrics", get(figures));
    let task = tokio::spawn(async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
        if let Err(error) = serving.await {
            tracing::error!(%error, "HTTP server failed; /livez and /metrics do not answer");
        }
    });
    Ok((bound, task))
}

/// 200 as long as the process lives, whatever the worker waits for: a restart does not bring the database back, and
/// loses what is not written yet.
async fn livez() -> Json<Alive> {
    Json(Alive { alive: true })
}

/// The text format of Prometheus.
const FORMAT: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

/// 200 while the worker is ready, else 503, see [`readiness`].
async fn health(State(state): State<HttpState>) -> (StatusCode, Json<Health>) {
    let phase = *state.window.phase.borrow();
    let (code, status) = readiness(phase, state.window.is_stuck());
    let (clients, clients_total) = listed(state.window.clients());
    let load = state.window.load();
    let health = Health {
        status,
        uptime: state.since.elapsed().as_secs_f64(),
        timestamp: telemetry::wall_clock(),
        active_clients: load.connected,
        clients,
        clients_total,
        oldest_change: load.oldest_change.as_secs_f64(),
        memory: Memory { rss: Usage::now().memory / 1_000_000 },
    };
    (code, Json(health))
}

/// `ok` while the worker takes work. Not ready: `degraded` while a batch that cannot be written holds up the outcomes of
/// all sessions (`stuck`), `waiting` while the database does not answer, `shutting_down` from the request to stop on.
const fn readiness(phase: Phase, stuck: bool) -> (StatusCode, &'static str) {
    match phase {
        Phase::Working if stuck => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
        Phase::Working => (StatusCode::OK, "ok"),
        Phase::Starting | Phase::Waiting => (StatusCode::SERVICE_UNAVAILABLE, "waiting"),
        Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
    }
}

/// The first sessions, and how many there are.
fn listed(held: Vec<HeldSession>) -> (Vec<Client>, usize) {
    let total = held.len();
    (held.into_iter().take(CLIENTS).map(Client::from).collect(), total)
}

/// The text format of Prometheus.
async fn metrics(State(state): State<HttpState>) -> ([(HeaderName, &'static str); 1], String) {
    (FORMAT, telemetry::render(state.window.load()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::status::Status;

    #[test]
    fn h1_only_a_worker_that_takes_work_is_ready() {
        let unready = StatusCode::SERVICE_UNAVAILABLE;
        for (phase, stuck, expected) in [
            (Phase::Working, false, (StatusCode::OK, "ok")),
            (Phase::Working, true, (unready, "degraded")),
            (Phase::Starting, false, (unready, "waiting")),
            (Phase::Waiting, false, (unready, "waiting")),
            (Phase::Waiting, true, (unready, "waiting")),
            (Phase::Stopping, false, (unready, "shutting_down")),
            (Phase::Stopping, true, (unready, "shutting_down")),
        ] {
            assert_eq!(readiness(phase, stuck), expected, "{phase:?}, {stuck}");
        }
    }

    #[test]
    fn h1_health_lists_at_most_a_thousand_sessions() {
        let held =
            |n: usize| HeldSession { session: format!("s{n:04}").into(), status: Status::Linking, phone_known: false };
        let (clients, total) = listed((0..1001).map(held).collect());
        assert_eq!((clients.len(), total), (1000, 1001));
        let last = serde_json::to_value(&clients[999]).unwrap_or_default();
        assert_eq!(last, serde_json::json!({ "accountId": "s0999", "status": "linking", "hasPhone": false }));
        assert_eq!(listed(vec![]), (vec![], 0));
    }
}

//! The HTTP control API: it plays the owners of the phones. JSON in and out; `docs/sandbox.md` describes it.
//!
//! Each subject has one file with its routes. A new subject gets a file and a line in [`router`].

mod app_state;
mod browser;
mod devices;
mod events;
mod faults;
mod groups;
mod limit;
mod linking;
mod media;
mod owner;
mod page;
mod phones;
mod profile;
mod request;
mod truth;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;

use super::LOG;
use super::server::Server;
use request::{Failure, Outcome};

pub(super) use request::phone_number;

/// The longest body in bytes. Files arrive as base64.
const BODY_LIMIT: usize = 256 * 1024 * 1024;

type Shared = State<Arc<Server>>;

/// Serves the API until the sandbox stops.
pub(super) async fn serve(server: Arc<Server>, listener: TcpListener) {
    let stop = server.stop.clone();
    let serving = axum::serve(listener, router(server)).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::warn!(target: LOG, %error, "the control API stopped");
    }
}

/// The routes of all subjects.
pub(super) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .merge(phones::routes())
        .merge(linking::routes())
        .merge(owner::routes())
        .merge(devices::routes())
        .merge(truth::routes())
        .merge(media::routes())
        .merge(profile::routes())
        .merge(events::routes())
        .merge(page::routes())
        .merge(groups::routes())
        .merge(faults::routes())
        .merge(app_state::routes())
        .merge(limit::routes())
        .route("/ca", get(ca))
        .route("/stats", get(stats))
        .fallback(|| async { Failure(StatusCode::NOT_FOUND, "no such path; docs/sandbox.md lists all paths".into()) })
        .method_not_allowed_fallback(|| async {
            Failure(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not accept the method; docs/sandbox.md lists all paths".into(),
            )
        })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(axum::middleware::from_fn(browser::guard))
        .with_state(server)
}

async fn ca(State(server): Shared) -> Outcome {
    Ok(Json(json!({ "root_public_key": hex::encode(server.authority.root_public_key()) })))
}

async fn stats(State(server): Shared) -> Outcome {
    let connected = server.state().connected();
    Ok(Json(json!(server.stats.snapshot(connected))))
}

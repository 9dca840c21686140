//! `GET /events`: server-sent events that say which answers of this API may be others now.
//!
//! The first event, `hello`, names the sandbox by an id that is new at each start; the others, `changed`, list paths.
//! They carry nothing of what changed: whoever is interested in a path asks for it, and misses nothing however slow.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::routing::get;
use futures::stream::{self, Stream, StreamExt as _};
use serde_json::json;

use super::super::server::Server;
use super::Shared;

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new().route("/events", get(events))
}

async fn events(State(server): Shared) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let listener = server.changes.listen();
    let hello = event("hello", &json!({ "sandbox": server.name }));
    let changed = stream::unfold(listener, |mut listener| async {
        let paths = listener.next().await?;
        let paths: Vec<&str> = paths.iter().map(AsRef::as_ref).collect();
        Some((event("changed", &json!(paths)), listener))
    });
    // The server waits for its open answers when it stops, and this one would never end.
    let stop = server.stop.clone().cancelled_owned();
    Sse::new(stream::iter([hello]).chain(changed).map(Ok).take_until(stop)).keep_alive(KeepAlive::default())
}

fn event(name: &str, data: &serde_json::Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

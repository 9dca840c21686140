//! `GET /events`: server-sent events that name the paths of this API whose answers may have changed.
//!
//! The first event, `hello`, carries an id that is new at each start of the sandbox; the others, `changed`, list paths.
//! They carry no content: a client requests the paths that it needs, so a slow client misses nothing.

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
    // At shutdown the server waits for open answers, and this one would never end.
    let stop = server.stop.clone().cancelled_owned();
    Sse::new(stream::iter([hello]).chain(changed).map(Ok).take_until(stop)).keep_alive(KeepAlive::default())
}

fn event(name: &str, data: &serde_json::Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

//! The stream of `wa.event` rows: one reading for all listeners of the same rights.

use super::{Bell, Hub, Topic, stream_of};
use crate::web::Web;
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::{Claim, Identity, enter};
use crate::web::request::{Asked, Place};
use crate::web::words::Words;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt as _};
use maud::{Markup, html};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;

/// Ids are given before the commit, so a smaller one may appear later. Each reading goes back so far.
const OVERLAP: i64 = 500;
/// Most events in one reading, and of the past at the opening of a stream.
const MOST: i64 = 1000;
/// The shortest time between two readings.
const REST: Duration = Duration::from_millis(250);
/// Events that a slow listener may miss before its stream ends; it opens another and resumes.
const WAITING: usize = 4096;

/// Rights: tenant and scope.
type Rights = (Option<String>, super::Scope);

/// The readings that go on, by rights.
pub(super) type Feeds = Arc<Mutex<HashMap<Rights, broadcast::Sender<Arc<Row>>>>>;

/// A row of `wa.event`.
#[derive(Debug)]
pub(super) struct Row {
    id: i64,
    session: Option<String>,
    kind: String,
    data: Value,
    at: DateTime<Utc>,
}

/// Which of them a listener wants.
#[derive(Debug, Clone)]
struct Wanted {
    session: Option<String>,
    /// Beginning of the kind: `session_`.
    kind: Option<String>,
}

impl Wanted {
    fn has(&self, row: &Row) -> bool {
        self.session.as_ref().is_none_or(|session| row.session.as_ref() == Some(session))
            && self.kind.as_ref().is_none_or(|kind| row.kind.starts_with(kind))
    }
}

impl Row {
    /// A line of the screen of events. A stream cannot carry a carriage return.
    fn event(&self, words: &Words) -> Event {
        Event::default().id(self.id.to_string()).data(line(words, self).into_string().replace('\r', " "))
    }
}

/// An event as the screen "live" shows it.
fn line(words: &Words, row: &Row) -> Markup {
    let tone = match row.kind.as_str() {
        "session_connected" | "auth_restored" => "good",
        "session_banned" | "session_logged_out" | "auth_quarantined" | "crypto_limit" | "passkey_failed" => "bad",
        "connection_ended"
        | "session_paused"
        | "session_resting"
        | "crypto_warning"
        | "item_quarantined"
        | "key_quarantined"
        | "message_undecryptable" => "warn",
        "session_linking" | "session_connecting" => "busy",
        _ => "off",
    };
    html! {
        li data-key=(row.id) data-kind=(row.kind) class=(tone) {
            (format::ago(words, Some(row.at)))
            span class={ "pill " (tone) } { i.dot {} (row.kind) }
            @if let Some(session) = &row.session {
                a href=(Place::of("session", session).href()) { (session) }
            }
            code { (row.data.to_string()) }
        }
    }
}

/// The events behind this id, oldest first; the last ones without an id.
async fn read(hub: &Hub, claim: Claim, after: Option<i64>) -> Result<(Vec<Row>, Identity), WebError> {
    let (mut tx, who) = enter(&hub.pool, claim).await?;
    let mut rows = sqlx::query_file_as!(Row, "sql/web/events_after.sql", after, MOST).fetch_all(&mut tx).await?;
    tx.commit().await?;
    rows.sort_by_key(|row| row.id);
    Ok((rows, who))
}

impl Hub {
    /// The events of these rights from now on.
    fn feed(&self, who: &Identity, known: BTreeSet<i64>) -> broadcast::Receiver<Arc<Row>> {
        let rights = (who.tenant.clone(), who.scope);
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = feeds.get(&rights) {
            return feed.subscribe();
        }
        let (feed, receiver) = broadcast::channel(WAITING);
        feeds.insert(rights.clone(), feed.clone());
        drop(feeds);
        let (hub, claim, over) = (self.clone(), who.claim.clone(), self.over.clone());
        tokio::spawn(async move {
            over.run_until_cancelled(hub.keep_reading(claim, known, &feed)).await;
            // Listeners that are left open their streams again, under claims of their own.
            hub.feeds.lock().unwrap_or_else(PoisonError::into_inner).remove(&rights);
        });
        receiver
    }

    /// Reads until nobody listens or the claim is not valid any more. `seen`: what the first listener has read itself.
    async fn keep_reading(&self, claim: Claim, mut seen: BTreeSet<i64>, feed: &broadcast::Sender<Arc<Row>>) {
        let mut bell = self.bell.subscribe();
        let first = seen.first().copied().unwrap_or_default();
        let mut last = seen.last().copied().unwrap_or_default();
        loop {
            match read(self, claim.clone(), Some(last - OVERLAP)).await {
                Ok((rows, _)) => {
                    for row in rows {
                        last = last.max(row.id);
                        if row.id > first && seen.insert(row.id) {
                            // Nobody may be listening any more.
                            let _ = feed.send(Arc::new(row));
                        }
                    }
                    seen = seen.split_off(&(last - 2 * OVERLAP));
                }
                Err(error) if error.is_signed_out() => return,
                Err(error) => tracing::debug!(%error, "events not read; reading them again"),
            }
            tokio::time::sleep(REST).await;
            if feed.receiver_count() == 0 {
                return;
            }
            let rang = async {
                while let Ok(Bell::Rang(topic)) = bell.recv().await
                    && topic != Topic::Event
                {}
            };
            let _ = tokio::time::timeout(self.tick(), rang).await;
        }
    }
}

/// The stream of events. `Last-Event-ID`, which a browser sends when it opens a stream again, or `after` resumes; without
/// them the last events come first. An event may come twice; its id tells.
pub(in crate::web) async fn events(
    State(web): State<Web>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    asked: Asked,
) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).or(query.get("after").map(String::as_str));
    let after = last.and_then(|id| id.parse::<i64>().ok());
    let choice = |key| query.get(key).filter(|value| !value.is_empty()).cloned();
    let wanted = Wanted { session: choice("session"), kind: choice("kind") };
    let open = async {
        let claim = asked.claim()?;
        // What is committed between the reading and the subscription is within the overlap.
        let (past, who) = read(&web.hub, claim, after.map(|id| id.saturating_sub(OVERLAP))).await?;
        let known = past.iter().map(|row| row.id).collect();
        let feed = web.hub.feed(&who, known);
        Ok((past, feed))
    };
    let words = asked.words;
    let (past, receiver) = match open.await {
        Ok(open) => open,
        Err(error) => return WebError::json(&error),
    };
    let also = wanted.clone();
    let past = stream::iter(
        past.into_iter().filter(move |row| wanted.has(row)).map(|row| row.event(words)).collect::<Vec<_>>(),
    );
    let live = stream::unfold(receiver, move |mut receiver| {
        let wanted = also.clone();
        async move {
            loop {
                // A listener that is too slow has lost some; its next stream resumes.
                let row = receiver.recv().await.ok()?;
                if wanted.has(&row) {
                    return Some((row.event(words), receiver));
                }
            }
        }
    });
    let over = web.hub.over.clone();
    stream_of(past.chain(live).take_until(over.cancelled_owned()))
}

//! The stream of `wa.event` rows: one reading for all listeners of the same rights. What a listener has missed it reads by
//! itself, page by page.

use super::claims::Claims;
use super::{Bell, Hub, Topic, stream_of};
use crate::web::Web;
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::{Claim, Identity, enter};
use crate::web::panics::caught;
use crate::web::request::{Asked, Place};
use crate::web::shares::Reader;
use crate::web::words::Words;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use chrono::{DateTime, Utc};
use futures::stream::{self, Stream};
use maud::{Markup, html};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// Ids are given before the commit, so a smaller one may appear later. Each reading goes back so far.
const OVERLAP: i64 = 500;
/// Most events in one reading.
const MOST: i64 = 1000;
/// Of each session a listener that reads the past reads so many at a time, or more if it has few sessions.
const EACH: i64 = 10;
/// Of so many events that a listener does not want, it gets the id of the last.
const PASSED: u32 = 100;
/// The shortest time between two readings.
const REST: Duration = Duration::from_millis(250);
/// Events that a slow listener may miss before its stream ends; it opens another and resumes.
const WAITING: usize = 4096;

/// Rights: tenant and scope.
type Rights = (Option<String>, super::Scope);

/// The readings that go on, by rights.
pub(super) type Feeds = Arc<Mutex<HashMap<Rights, Feed>>>;

/// A reading that goes on.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    rows: broadcast::Sender<Arc<Row>>,
    /// Its listeners.
    claims: Claims,
    /// Whether it has begun: from then on it sends every new event.
    begun: watch::Receiver<bool>,
}

impl Feed {
    pub(super) fn claims(&self) -> Claims {
        self.claims.clone()
    }
}

/// A row of `wa.event`.
#[derive(Debug)]
pub(super) struct Row {
    id: i64,
    session: Option<String>,
    kind: String,
    /// JSON as Postgres writes it: its numbers and its depth have no bounds.
    data: String,
    at: DateTime<Utc>,
}

/// Which of them a listener wants.
#[derive(Debug, Clone, Default)]
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
            span class={ "pill " (tone) } lang="en" { i.dot {} (row.kind) }
            @if let Some(session) = &row.session {
                a href=(Place::of("session", session).href()) { (session) }
            }
            code lang="en" { (row.data) }
        }
    }
}

/// Events of one reading, oldest first.
struct Batch {
    rows: Vec<Row>,
    /// Whether there may be more behind them.
    has_more: bool,
}

/// Who reads events, and with which rights.
struct Reading<'a> {
    reader: Reader,
    claim: Claim,
    wanted: &'a Wanted,
    /// Of each session at least so many are read, if there are so many.
    each: i64,
}

/// The events behind this id, of whatever kind; the last wanted ones without an id. It has a share of the connections, like a
/// page.
async fn read(hub: &Hub, reading: Reading<'_>, after: Option<i64>) -> Result<Batch, WebError> {
    let _share = hub.reads.wait(reading.reader.clone()).await.ok_or(WebError::Crowded)?;
    caught(read_rows(hub, reading, after)).await.flatten()
}

async fn read_rows(hub: &Hub, reading: Reading<'_>, after: Option<i64>) -> Result<Batch, WebError> {
    let Reading { claim, wanted, each, .. } = reading;
    let (mut tx, who) = enter(&hub.pool, claim).await?;
    let (every, session, kind) = (who.tenant.is_none(), wanted.session.as_deref(), wanted.kind.as_deref());
    let found = sqlx::query_file!("sql/web/events_after.sql", after, MOST, every, session, kind, each)
        .fetch_all(&mut tx)
        .await?;
    tx.commit().await?;
    let until = found.iter().filter_map(|row| row.until).min();
    let found = found.into_iter().filter(|row| until.is_none_or(|until| row.id <= until));
    let mut rows: Vec<_> =
        found.map(|row| Row { id: row.id, session: row.session, kind: row.kind, data: row.data, at: row.at }).collect();
    rows.sort_by_key(|row| row.id);
    // Those of sessions and those of tenants are each as many.
    let most = usize::try_from(MOST).unwrap_or(usize::MAX);
    let has_more = until.is_some() || rows.len() >= most;
    rows.truncate(most);
    Ok(Batch { rows, has_more })
}

impl Hub {
    /// The feed of the events of these rights, and what comes from now on.
    fn feed(&self, who: &Identity) -> (Feed, broadcast::Receiver<Arc<Row>>) {
        let rights = (who.tenant.clone(), who.scope);
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = feeds.get(&rights) {
            feed.claims.add(who.claim.clone());
            return (feed.clone(), feed.rows.subscribe());
        }
        let (rows, receiver) = broadcast::channel(WAITING);
        let (begun, has_begun) = watch::channel(false);
        let feed = Feed { rows, claims: Claims::default(), begun: has_begun };
        feed.claims.add(who.claim.clone());
        feeds.insert(rights.clone(), feed.clone());
        drop(feeds);
        let (hub, kept, over) = (self.clone(), feed.clone(), self.over.clone());
        tokio::spawn(async move {
            let _ = caught(Box::pin(over.run_until_cancelled(hub.keep_reading(&rights, &kept, begun)))).await;
            hub.feeds.lock().unwrap_or_else(PoisonError::into_inner).remove(&rights);
            // Listeners that are left open their streams again.
            kept.claims.end();
        });
        (feed, receiver)
    }

    /// Reads until nobody listens, or no listener's claim is valid any more.
    async fn keep_reading(&self, rights: &Rights, feed: &Feed, begun: watch::Sender<bool>) {
        let mut bell = self.bell.subscribe();
        // Before the first reading nothing is new.
        let mut last: Option<i64> = None;
        let mut seen = BTreeSet::new();
        while let Some(claim) = feed.claims.any() {
            let reader = rights.0.clone().map_or(Reader::Views, Reader::Tenant);
            // Each reading has more than those of the overlap, which are known.
            let reading = Reading { reader, claim: claim.clone(), wanted: &Wanted::default(), each: MOST };
            match read(self, reading, last.map(|id| id - OVERLAP)).await {
                Ok(Batch { rows, has_more }) => {
                    let fresh: Vec<Row> = rows.into_iter().filter(|row| seen.insert(row.id)).collect();
                    if last.is_some() && !fresh.is_empty() {
                        let (tenant, scope) = rights;
                        if feed.claims.check(&self.pool, tenant.as_deref(), *scope).await.is_err() {
                            seen.retain(|id| fresh.iter().all(|row| row.id != *id));
                            tokio::time::sleep(REST).await;
                            continue;
                        }
                    }
                    let is_first = last.is_none();
                    last = last.max(fresh.iter().map(|row| row.id).max()).max(Some(0));
                    if !is_first {
                        for row in fresh {
                            // Nobody may be listening any more.
                            let _ = feed.rows.send(Arc::new(row));
                        }
                    }
                    if let Some(last) = last {
                        seen = seen.split_off(&(last - 2 * OVERLAP));
                    }
                    begun.send_replace(true);
                    if has_more && !is_first {
                        continue;
                    }
                }
                Err(error) if error.is_signed_out() => feed.claims.remove(&claim),
                Err(error) => tracing::debug!(%error, "events not read; reading them again"),
            }
            tokio::time::sleep(REST).await;
            if feed.rows.receiver_count() == 0 {
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

/// How much of the past a listener has yet to get.
enum Past {
    /// The newest page alone.
    Newest,
    /// All after this event.
    After(i64),
    /// It has it.
    Read,
}

/// What a listener has missed, page by page, and then what the feed sends.
struct Listener {
    hub: Hub,
    reader: Reader,
    claim: Claim,
    feed: Feed,
    live: broadcast::Receiver<Arc<Row>>,
    past: Past,
    page: std::vec::IntoIter<Row>,
    /// What the last pages had, which the feed may send, too.
    known: BTreeSet<i64>,
    wanted: Wanted,
    /// Events that were not wanted since the last one that was sent.
    passed: u32,
}

/// What a listener gets.
enum Next {
    Event(Arc<Row>),
    /// The stream is as far as this event, which is not wanted: a stream that is opened again goes on there.
    Passed(i64),
}

impl Listener {
    /// The next event that is wanted; `None` ends the stream, and the browser opens another one that resumes.
    async fn next(&mut self) -> Option<Next> {
        loop {
            if let Some(row) = self.page.next() {
                return Some(Next::Event(Arc::new(row)));
            }
            let after = match self.past {
                Past::Newest => None,
                Past::After(id) => Some(id),
                Past::Read => break,
            };
            let (reader, claim) = (self.reader.clone(), self.claim.clone());
            let reading = Reading { reader, claim, wanted: &self.wanted, each: EACH };
            let Batch { mut rows, has_more } = read(&self.hub, reading, after).await.ok()?;
            let newest = rows.last().map(|row| row.id);
            self.past = match newest {
                Some(newest) if after.is_some() && has_more => Past::After(newest),
                _ => Past::Read,
            };
            rows.retain(|row| self.wanted.has(row));
            self.known.extend(rows.iter().map(|row| row.id));
            if let Some(newest) = newest {
                self.known = self.known.split_off(&(newest - 2 * OVERLAP));
            }
            self.page = rows.into_iter();
            if let Past::After(newest) = self.past
                && self.page.len() == 0
            {
                return Some(Next::Passed(newest));
            }
        }
        loop {
            let row = tokio::select! {
                // A listener that is too slow has lost some.
                row = self.live.recv() => row.ok()?,
                () = self.feed.claims.lost(&self.claim) => return None,
            };
            if !self.feed.claims.has(&self.claim) {
                return None;
            }
            if !self.wanted.has(&row) {
                self.passed += 1;
                if self.passed >= PASSED {
                    self.passed = 0;
                    return Some(Next::Passed(row.id));
                }
            } else if !self.known.contains(&row.id) {
                self.passed = 0;
                return Some(Next::Event(row));
            }
        }
    }

    fn stream(self, words: &'static Words) -> impl Stream<Item = Event> + Send + 'static {
        stream::unfold(self, move |mut listener| async move {
            let event = match listener.next().await? {
                Next::Event(row) => row.event(words),
                Next::Passed(id) => Event::default().id(id.to_string()),
            };
            Some((event, listener))
        })
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
        let share = web.hub.stream_for(asked.client)?;
        let (tx, who) = asked.enter(&web.hub.pool).await?;
        tx.commit().await?;
        // First the feed, then the past, so that there is nothing between the two.
        let (mut feed, live) = web.hub.feed(&who);
        let _ = feed.begun.wait_for(|begun| *begun).await;
        let past = after.map_or(Past::Newest, |id| Past::After(id.saturating_sub(OVERLAP)));
        let (hub, reader, claim) = (web.hub.clone(), Reader::of(&who), who.claim);
        let (page, known) = (vec![].into_iter(), BTreeSet::new());
        Ok::<_, WebError>((share, Listener { hub, reader, claim, feed, live, past, page, known, wanted, passed: 0 }))
    };
    match open.await {
        Ok((share, listener)) => stream_of(&web.hub, share, listener.stream(asked.words)),
        Err(error) => error.json(asked.words),
    }
}

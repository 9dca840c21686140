//! Live pages: one LISTEN connection for the process, and one rendering for all pages that show the same.
//!
//! Open pages that have the same view, tenant, scope and language share a task. It renders the view when a notification
//! says that something in it has changed, at most once a second, and after a few seconds without one; what differs from
//! before is sent to all of them. So a thousand open pages cost the database what one costs. A stream ends after some
//! minutes; the browser opens it again, and the token is checked again.

mod events;

use super::Web;
use super::error::WebError;
use super::identity::{Claim, Scope, enter};
use super::look::{Look, Topic};
use super::request::{Asked, Place};
use super::screens;
use super::words::Words;
use crate::config::Secret;
use crate::db::listener;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use chrono_tz::Tz;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, Stream, StreamExt as _};
use sqlx::postgres::PgPool;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(super) use events::events;

/// The shortest time between two renderings of a view.
const REST: Duration = Duration::from_secs(1);
/// The longest, for changes that no notification announces, such as new messages in the queue.
const TICK: Duration = Duration::from_secs(5);
/// The same without notifications, behind a pooler.
const TICK_POLLING: Duration = Duration::from_secs(2);
/// How long a stream lasts.
const LIFE: Duration = Duration::from_mins(5);
/// How often a silent stream shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Bells that a slow view may miss before it is told to look at everything.
const BELLS: usize = 256;

/// A notification, or that some may have been missed.
#[derive(Debug, Clone, Copy)]
enum Bell {
    Rang(Topic),
    Everything,
}

/// Pages with the same of all this are the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct View {
    place: Place,
    tenant: Option<String>,
    scope: Scope,
    language: &'static str,
    zone: Tz,
}

/// What the pages of a view show.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sent {
    /// Not rendered yet.
    Nothing,
    Html(Arc<str>),
    /// The database does not answer.
    Away,
    /// No page of this view has a valid token any more, or what it shows is gone.
    Over,
}

/// A view that pages are open on.
struct Open {
    sent: watch::Sender<Sent>,
    /// By whose rights it may be rendered.
    claims: Vec<Claim>,
}

/// Everything live in this process. Clones share it.
#[derive(Clone)]
pub(super) struct Hub {
    pool: PgPool,
    bell: broadcast::Sender<Bell>,
    views: Arc<Mutex<HashMap<View, Open>>>,
    feeds: events::Feeds,
    tick: Arc<Mutex<Duration>>,
    over: CancellationToken,
}

impl Hub {
    pub(super) fn new(pool: PgPool, over: CancellationToken) -> Self {
        let tick = Arc::new(Mutex::new(TICK_POLLING));
        let (bell, _) = broadcast::channel(BELLS);
        Self { pool, bell, views: Arc::default(), feeds: events::Feeds::default(), tick, over }
    }

    /// Listens until `over`, if there is a server to listen on.
    pub(super) fn listen(&self, server: Option<Secret>, over: CancellationToken) -> BoxFuture<'static, ()> {
        let Some(server) = server else { return futures::future::ready(()).boxed() };
        *self.tick.lock().unwrap_or_else(PoisonError::into_inner) = TICK;
        let bell = self.bell.clone();
        let task = tokio::spawn(async move {
            let ring = |channel: Option<&str>| {
                let topic = channel.and_then(|channel| Topic::ALL.iter().find(|(name, _)| *name == channel));
                // Without open pages nobody hears it.
                let _ = bell.send(topic.map_or(Bell::Everything, |(_, topic)| Bell::Rang(*topic)));
            };
            listener::wake_on_all(server, &Topic::ALL.map(|(channel, _)| channel), ring, over).await;
        });
        task.map(drop).boxed()
    }

    fn tick(&self) -> Duration {
        *self.tick.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn views(&self) -> MutexGuard<'_, HashMap<View, Open>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a view for one more page.
    fn open(&self, view: View, claim: Claim) -> watch::Receiver<Sent> {
        let mut views = self.views();
        if let Some(open) = views.get_mut(&view) {
            if !open.claims.contains(&claim) {
                open.claims.push(claim);
            }
            return open.sent.subscribe();
        }
        let (sent, receiver) = watch::channel(Sent::Nothing);
        views.insert(view.clone(), Open { sent: sent.clone(), claims: vec![claim] });
        drop(views);
        let hub = self.clone();
        let over = self.over.clone();
        tokio::spawn(async move { over.run_until_cancelled(hub.keep(view, sent)).await });
        receiver
    }

    /// Keeps a view current until no page is open on it.
    async fn keep(self, view: View, sent: watch::Sender<Sent>) {
        let topics = screens::of(&view.place).map_or(&[] as &[_], |screen| screen.topics);
        let mut bell = self.bell.subscribe();
        loop {
            let rendered = self.render(&view).await;
            let is_over = rendered == Sent::Over;
            sent.send_if_modified(|before| {
                *before != rendered && {
                    *before = rendered;
                    true
                }
            });
            if is_over {
                self.views().remove(&view);
                return;
            }
            let begun = Instant::now();
            let changed = async {
                loop {
                    match bell.recv().await {
                        Ok(Bell::Rang(topic)) if !topics.contains(&topic) => {}
                        _ => return,
                    }
                }
            };
            let _ = tokio::time::timeout(self.tick(), changed).await;
            tokio::time::sleep_until(begun + REST).await;
            let mut views = self.views();
            if sent.is_closed() {
                views.remove(&view);
                return;
            }
        }
    }

    /// The view under the first claim that is still valid.
    async fn render(&self, view: &View) -> Sent {
        loop {
            let Some(claim) = self.views().get(view).and_then(|open| open.claims.first().cloned()) else {
                return Sent::Over;
            };
            match self.render_as(view, claim.clone()).await {
                Ok(html) => return Sent::Html(html.into()),
                Err(error) if error.is_signed_out() => {
                    if let Some(open) = self.views().get_mut(view) {
                        open.claims.retain(|one| *one != claim);
                    }
                }
                Err(WebError::Sql(error)) if !matches!(error, sqlx::Error::RowNotFound) => return Sent::Away,
                Err(_) => return Sent::Over,
            }
        }
    }

    async fn render_as(&self, view: &View, claim: Claim) -> Result<String, WebError> {
        let screen = screens::of(&view.place)?;
        let (tx, who) = enter(&self.pool, claim).await?;
        if (&who.tenant, who.scope) != (&view.tenant, view.scope) {
            return Err(WebError::SignedOut);
        }
        let words = Words::of(view.language).unwrap_or(&Words::all()[0]);
        let mut look = Look { tx, words, zone: view.zone, who, place: view.place.clone() };
        let shown = (screen.render)(&mut look).await?;
        look.tx.commit().await?;
        // A stream of events cannot carry a carriage return.
        Ok(shown.body.into_string().replace('\r', " "))
    }
}

/// A stream of events that ends after [`LIFE`], with the headers that keep proxies from holding it back.
fn stream_of(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let limited = events.take_until(tokio::time::sleep(LIFE)).map(Ok::<_, Infallible>);
    ([("x-accel-buffering", "no")], Sse::new(limited).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response()
}

/// The stream of a page: the HTML of its main part. The event `away` says that the database does not answer, `reload` that
/// the page should load itself again.
pub(super) async fn page(
    State(web): State<Web>,
    Query(query): Query<HashMap<String, String>>,
    asked: Asked,
) -> Response {
    let open = async {
        let place = query.get("view").and_then(|view| Place::read(view)).ok_or(WebError::NotFound)?;
        screens::of(&place)?;
        let claim = asked.claim()?;
        let (tx, who) = enter(&web.pool, claim.clone()).await?;
        tx.commit().await?;
        let view = View { place, tenant: who.tenant, scope: who.scope, language: asked.words.code, zone: asked.zone };
        Ok(web.hub.open(view, claim))
    };
    let receiver = match open.await {
        Ok(receiver) => receiver,
        Err(error) => return WebError::json(&error),
    };
    let over = web.hub.over.clone();
    stream_of(
        stream::unfold((receiver, true), |(mut receiver, first)| async move {
            loop {
                if !first && receiver.changed().await.is_err() {
                    return None;
                }
                if first {
                    receiver.wait_for(|sent| *sent != Sent::Nothing).await.ok()?;
                }
                let sent = receiver.borrow_and_update().clone();
                let event = match sent {
                    Sent::Nothing => continue,
                    Sent::Html(html) => Event::default().data(html),
                    Sent::Away => Event::default().event("away").data("database"),
                    // The page loads itself again, and then says what is wrong.
                    Sent::Over => Event::default().event("reload").data(""),
                };
                return Some((event, (receiver, false)));
            }
        })
        .take_until(over.cancelled_owned()),
    )
}

/// The stream of a page that only one reader has: rendered when a session has changed, at most once a second, and after a few
/// seconds; sent when it differs from before.
pub(super) fn stream_of_page<F>(web: &Web, render: impl Fn() -> F + Send + 'static) -> Response
where
    F: Future<Output = Result<String, WebError>> + Send + 'static,
{
    let (over, tick) = (web.hub.over.clone(), web.hub.tick());
    let bell = web.hub.bell.subscribe();
    let events = stream::unfold((bell, String::new(), render), move |(mut bell, mut before, render)| async move {
        loop {
            let begun = Instant::now();
            let event = match render().await {
                Ok(html) if html == before => None,
                Ok(html) => {
                    before.clone_from(&html);
                    Some(Event::default().data(html.replace('\r', " ")))
                }
                Err(_) => Some(Event::default().event("away").data("database")),
            };
            if let Some(event) = event {
                return Some((event, (bell, before, render)));
            }
            let changed =
                async { while matches!(bell.recv().await, Ok(Bell::Rang(topic)) if topic != Topic::Session) {} };
            let _ = tokio::time::timeout(tick, changed).await;
            tokio::time::sleep_until(begun + Duration::from_millis(250)).await;
        }
    });
    stream_of(events.take_until(over.cancelled_owned()))
}

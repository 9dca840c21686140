//! Live pages: one LISTEN connection for the process, and one rendering for all pages that show the same.
//!
//! Open pages that have the same view, tenant, scope and language share a task. It renders the view when a notification
//! says that something in it has changed, or a page has changed something, at most once a second, and after its tick without one (a second or a few); what differs from
//! before is sent to all of them whose tokens are still valid. So a thousand open pages cost the database what one costs.
//! The pages of one link share a task, too. A stream ends after some minutes; the browser opens it again.
//!
//! What anybody may have is bounded: streams by address, views by token, and the views that are rendered at a time.

mod claims;
mod events;
mod pulse;

use super::client::Client;
use super::error::WebError;
use super::identity::{Claim, Scope, enter};
use super::look::{Look, Topic};
use super::panics::caught;
use super::request::{Asked, Place};
use super::shares::{Reader, Share, Shares};
use super::words::Words;
use super::{Web, link, screens};
use crate::config::{Secret, WebConfig};
use crate::db::listener;
use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use chrono_tz::Tz;
use futures::FutureExt as _;
use futures::future::{self, BoxFuture};
use futures::stream::{self, Stream, StreamExt as _};
use sqlx::postgres::PgPool;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use claims::Claims;
pub(super) use events::events;

/// The shortest time between two renderings of a view.
const REST: Duration = Duration::from_secs(1);
/// The same for the page of a link, in front of which somebody holds a phone.
const REST_OF_LINK: Duration = Duration::from_millis(250);
/// Most views of one token.
const VIEWS: usize = 64;
/// The same without notifications, behind a pooler; see [`Screen::tick`](super::look::Screen::tick).
const TICK_POLLING: Duration = Duration::from_secs(2);
/// The longest time without a look at new events, and at the page of a link.
const TICK: Duration = Duration::from_secs(5);
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
    /// Somebody has changed something from a page of this process.
    Acted,
    Everything,
}

/// Pages with the same of all this are the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum View {
    Screen { place: Place, tenant: Option<String>, scope: Scope, language: &'static str, zone: Tz },
    Link { secret: String, language: &'static str },
}

impl View {
    fn rest(&self) -> Duration {
        match self {
            Self::Screen { .. } => REST,
            Self::Link { .. } => REST_OF_LINK,
        }
    }

    /// The longest time between two renderings, for changes that no notification announces.
    fn tick(&self) -> Duration {
        match self {
            Self::Screen { place, .. } => screens::of(place).map_or(TICK, |screen| screen.tick),
            Self::Link { .. } => TICK,
        }
    }

    /// What announces a change of it.
    fn topics(&self) -> &'static [Topic] {
        match self {
            Self::Screen { place, .. } => screens::of(place).map_or(&[], |screen| screen.topics),
            Self::Link { .. } => &[Topic::Session],
        }
    }
}

/// What the pages of a view show.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sent {
    /// Not rendered yet.
    Nothing,
    Html(Arc<str>),
    /// The database does not answer, or the rendering failed.
    Away,
    /// No page of this view has a valid token any more, or what it shows is gone.
    Over,
}

/// A view that pages are open on.
struct Open {
    sent: watch::Sender<Sent>,
    /// By whose rights it may be rendered; none for a link.
    claims: Claims,
    /// Of the token that opened it.
    _share: Option<Share<String>>,
}

/// Everything live in this process. Clones share it.
#[derive(Clone)]
pub(super) struct Hub {
    pool: PgPool,
    bell: broadcast::Sender<Bell>,
    views: Arc<Mutex<HashMap<View, Open>>>,
    feeds: events::Feeds,
    /// Views by the name of a token, streams by address, renderings at a time.
    by_token: Arc<Shares<String>>,
    by_address: Arc<Shares<Client>>,
    renderings: Arc<Semaphore>,
    /// Pages and views that are rendered at a time. One that is under way has a connection to the database.
    pub(super) reads: Arc<Shares<Reader>>,
    tick: Arc<Mutex<Duration>>,
    /// Whether the database answers. Each stream has a receiver.
    answers: watch::Sender<bool>,
    over: CancellationToken,
}

impl Hub {
    pub(super) fn new(pool: PgPool, settings: &WebConfig, over: CancellationToken) -> Self {
        let (bell, _) = broadcast::channel(BELLS);
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            pool,
            bell,
            views: Arc::default(),
            feeds: events::Feeds::default(),
            by_token: Arc::new(Shares::new(VIEWS, usize::MAX)),
            by_address: Arc::new(Shares::new(count(settings.streams_per_address), usize::MAX)),
            // The other half of the connections is for requests.
            renderings: Arc::new(Semaphore::new(count(settings.connections / 2).max(1))),
            reads: Arc::new(Shares::new(count(settings.connections / 4).max(1), usize::MAX)),
            tick: Arc::new(Mutex::new(TICK_POLLING)),
            answers: watch::Sender::new(true),
            over,
        }
    }

    /// One more stream for an address.
    ///
    /// # Errors
    /// [`WebError::TooMany`].
    pub(super) fn stream_for(&self, client: Client) -> Result<Share<Client>, WebError> {
        self.by_address.take(client).ok_or(WebError::TooMany)
    }

    /// Listens until `over`, if there is a server to listen on, and [watches](Hub::watch) over the streams.
    pub(super) fn listen(&self, server: Option<Secret>, over: CancellationToken) -> BoxFuture<'static, ()> {
        let (hub, end) = (self.clone(), over.clone());
        tokio::spawn(async move { end.run_until_cancelled(hub.watch()).await });
        let Some(server) = server else { return future::ready(()).boxed() };
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

    /// Rings when a session may have changed.
    pub(super) fn sessions(&self) -> Changes {
        Changes(self.bell.subscribe())
    }

    /// Says that a page has changed something, so that the pages of this process show it at once.
    pub(super) fn acted(&self) {
        // Without open pages nobody hears it.
        let _ = self.bell.send(Bell::Acted);
    }

    /// Whether the process is about to end.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    fn tick(&self) -> Duration {
        *self.tick.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn views(&self) -> MutexGuard<'_, HashMap<View, Open>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a view for one more page: with a claim and the name of its token, except that of a link.
    ///
    /// # Errors
    /// [`WebError::TooMany`] for a view that is not open yet.
    fn open(&self, view: View, reader: Option<(Claim, String)>) -> Result<Page, WebError> {
        let mut views = self.views();
        let claim = reader.as_ref().map(|(claim, _)| claim.clone());
        if let Some(open) = views.get(&view) {
            if let Some(claim) = &claim {
                open.claims.add(claim.clone());
            }
            return Ok(Page {
                sent: open.sent.subscribe(),
                claims: open.claims.clone(),
                claim,
                is_first: true,
                is_over: false,
            });
        }
        let share = match reader {
            Some((_, name)) => Some(self.by_token.take(name).ok_or(WebError::TooMany)?),
            None => None,
        };
        let (sent, receiver) = watch::channel(Sent::Nothing);
        let claims = Claims::default();
        if let Some(claim) = &claim {
            claims.add(claim.clone());
        }
        views.insert(view.clone(), Open { sent: sent.clone(), claims: claims.clone(), _share: share });
        drop(views);
        let (hub, over, kept) = (self.clone(), self.over.clone(), claims.clone());
        tokio::spawn(async move {
            let keeping = Box::pin(over.run_until_cancelled(hub.clone().keep(view.clone(), sent, kept)));
            let kept = caught(keeping).await;
            if kept.is_err() {
                // Its streams end, and the browsers open others.
                hub.views().remove(&view);
            }
        });
        Ok(Page { sent: receiver, claims, claim, is_first: true, is_over: false })
    }

    /// Keeps a view current until no page is open on it.
    async fn keep(self, view: View, sent: watch::Sender<Sent>, claims: Claims) {
        let topics = view.topics();
        let mut bell = self.bell.subscribe();
        loop {
            let mut rendered = self.render(&view, &claims).await;
            if let (Sent::Html(_), View::Screen { tenant, scope, .. }) = (&rendered, &view)
                && *sent.borrow() != rendered
                && claims.check(&self.pool, tenant.as_deref(), *scope).await.is_err()
            {
                rendered = Sent::Away;
            }
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
            let _ = tokio::time::timeout(self.tick().min(view.tick()), changed).await;
            tokio::time::sleep_until(begun + view.rest()).await;
            let mut views = self.views();
            if sent.is_closed() {
                views.remove(&view);
                return;
            }
        }
    }

    /// The view under a claim that is still valid.
    async fn render(&self, view: &View, claims: &Claims) -> Sent {
        let reader = match view {
            View::Screen { tenant, .. } => tenant.clone().map_or(Reader::Views, Reader::Tenant),
            View::Link { .. } => Reader::Links,
        };
        // Whoever waits for its share keeps no turn from others.
        let Some(_share) = self.reads.wait(reader).await else { return Sent::Away };
        // Closed by nobody.
        let _turn = self.renderings.acquire().await;
        loop {
            let rendered = match view {
                View::Link { secret, language } => {
                    caught(link::render(&self.pool, words_of(language), secret)).await.flatten()
                }
                View::Screen { .. } => {
                    let Some(claim) = claims.any() else { return Sent::Over };
                    match caught(self.render_as(view, claim.clone())).await.flatten() {
                        Err(error) if error.is_signed_out() => {
                            claims.remove(&claim);
                            continue;
                        }
                        rendered => rendered,
                    }
                }
            };
            return match rendered {
                // A stream of events cannot carry a carriage return.
                Ok(html) => Sent::Html(html.replace('\r', " ").into()),
                Err(WebError::Sql(error)) if !matches!(error, sqlx::Error::RowNotFound) => Sent::Away,
                // It is tried again.
                Err(WebError::Failed) => Sent::Away,
                Err(_) => Sent::Over,
            };
        }
    }

    async fn render_as(&self, view: &View, claim: Claim) -> Result<String, WebError> {
        let View::Screen { place, tenant, scope, language, zone } = view else { return Err(WebError::NotFound) };
        let screen = screens::of(place)?;
        let (tx, who) = enter(&self.pool, claim).await?;
        if (&who.tenant, who.scope) != (tenant, *scope) {
            return Err(WebError::SignedOut);
        }
        let mut look = Look { tx, words: words_of(language), zone: *zone, who, place: place.clone() };
        let shown = (screen.render)(&mut look).await?;
        look.tx.commit().await?;
        Ok(shown.body.into_string())
    }
}

/// See [`Hub::sessions`].
pub(super) struct Changes(broadcast::Receiver<Bell>);

impl Changes {
    /// Waits for a change, or for the end of a time in which one may have been missed.
    pub(super) async fn next(&mut self) {
        loop {
            match self.0.recv().await {
                Ok(Bell::Rang(topic)) if topic != Topic::Session => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                _ => return,
            }
        }
    }
}

fn words_of(language: &str) -> &'static Words {
    Words::of(language).unwrap_or(&Words::all()[0])
}

/// A page that is open on a view.
struct Page {
    sent: watch::Receiver<Sent>,
    claims: Claims,
    claim: Option<Claim>,
    is_first: bool,
    is_over: bool,
}

impl Page {
    /// What it gets next; `None` when there is nothing more.
    async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        let Self { sent, claims, claim, is_first, is_over } = self;
        let changed = async {
            if *is_first {
                sent.wait_for(|sent| *sent != Sent::Nothing).await.is_ok()
            } else {
                sent.changed().await.is_ok()
            }
        };
        let lost = async {
            match claim {
                Some(claim) => claims.lost(claim).await,
                None => std::future::pending().await,
            }
        };
        let goes_on = tokio::select! {
            goes_on = changed => goes_on,
            () = lost => true,
        };
        if !goes_on {
            return None;
        }
        *is_first = false;
        let sent = sent.borrow_and_update().clone();
        let is_lost = claim.as_ref().is_some_and(|claim| !claims.has(claim));
        *is_over = is_lost;
        Some(match sent {
            Sent::Html(html) if !is_lost => Event::default().data(html),
            Sent::Away => Event::default().event("away").data("database"),
            // The page loads itself again, and then says what is wrong.
            _ => Event::default().event("reload").data(""),
        })
    }

    fn stream(self) -> impl Stream<Item = Event> + Send + 'static {
        stream::unfold(self, |mut page| async move { Some((page.next().await?, page)) })
    }
}

/// A stream of events that ends after [`LIFE`] and at a stop, which it says, with the headers that keep proxies from holding it
/// back. Between its events it says when the database does not answer (`away`), and when it does again (`back`).
fn stream_of(hub: &Hub, share: Share<Client>, events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let answers = stream::unfold(hub.answers.subscribe(), |mut answers| async move {
        answers.changed().await.ok()?;
        let name = if *answers.borrow_and_update() { "back" } else { "away" };
        Some((Event::default().event(name).data("database"), answers))
    });
    let stops = || Event::default().event("stops").data("server");
    // The stop may end the events first.
    let over = hub.over.clone();
    let ended = stream::once(async move { over.is_cancelled().then(stops) }).filter_map(future::ready);
    let stopped =
        stream::once(hub.over.clone().cancelled_owned()).flat_map(move |()| stream::iter([Some(stops()), None]));
    // The end of the events ends the rest.
    let events = events.chain(ended).map(Some).chain(stream::iter([None]));
    let all = stream::select(stream::select(events, answers.map(Some)), stopped);
    let all = all.take_while(|event| future::ready(event.is_some())).filter_map(future::ready);
    let limited = all.take_until(tokio::time::sleep(LIFE));
    let counted = limited.map(move |event| {
        let _ = &share;
        Ok::<_, Infallible>(event)
    });
    ([("x-accel-buffering", "no")], Sse::new(counted).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response()
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
        if !(screens::of(&place)?.is_live)(&place) {
            return Err(WebError::NotFound);
        }
        let share = web.hub.stream_for(asked.client)?;
        let (tx, who) = asked.enter(&web.pool).await?;
        tx.commit().await?;
        let (language, zone) = (asked.words.code, asked.zone);
        let view = View::Screen { place, tenant: who.tenant, scope: who.scope, language, zone };
        Ok::<_, WebError>((share, web.hub.open(view, Some((who.claim, who.name)))?))
    };
    match open.await {
        Ok((share, page)) => stream_of(&web.hub, share, page.stream()),
        Err(error) => error.json(asked.words),
    }
}

/// The stream of the page of a link.
pub(super) async fn link_page(State(web): State<Web>, Path(secret): Path<String>, asked: Asked) -> Response {
    let open = async {
        link::check(&web, &secret, &asked).await?;
        let share = web.hub.stream_for(asked.client)?;
        let page = web.hub.open(View::Link { secret, language: asked.words.code }, None)?;
        Ok(stream_of(&web.hub, share, page.stream()))
    };
    open.await.unwrap_or_else(|error: WebError| error.json(asked.words))
}

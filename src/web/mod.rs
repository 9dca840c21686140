//! The public listener: the link page, the dashboard, and what both rest on (H2).
//!
//! A web process keeps no state that another one would need: any number of them serve the same pages. It decides no
//! rights; see `web::identity`.

mod acts;
mod assets;
mod call;
mod client;
mod error;
mod format;
mod guard;
mod health;
mod identity;
mod link;
mod live;
mod login;
mod look;
mod marketplace;
mod media;
mod page;
mod panics;
mod plot;
mod qr;
mod reason;
mod request;
mod screens;
mod server;
mod shares;
mod socketio;
mod turns;
mod windows;
mod words;

use crate::config::{Config, Secret};
use crate::db::DbError;
use crate::messages::media::store::MediaStore;
use axum::Router;
use axum::http::HeaderName;
use axum::middleware;
use axum::routing::{get, post};
use client::Limits;
use ipnet::IpNet;
use live::Hub;
use marketplace::{Marketplace, token::Tokens};
use shares::Shares;
use sqlx::postgres::PgPool;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Why the pages cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum WebServeError {
    /// No address to listen on.
    #[error("configuration: web.listen: missing; accepted is an address such as 127.0.0.1:7461")]
    NoAddress,
    /// The address is taken or not this machine's.
    #[error("configuration: web.listen: cannot listen on {address}: {source}")]
    Listen {
        /// The address of the configuration.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The login may not act for web tokens.
    #[error(
        "web.database_url: this login is no member of wa_web: {0}; run GRANT wa_web TO the_login, or give the pages a \
         login of their own"
    )]
    Role(#[source] sqlx::Error),
}

/// What all requests share.
#[derive(Clone)]
struct Web(Arc<Shared>);

struct Shared {
    pool: PgPool,
    limits: Limits,
    proxies: Vec<IpNet>,
    user_header: Option<HeaderName>,
    /// From the configuration; without it a change is accepted from the host that the browser asks.
    url: Option<Url>,
    hub: Hub,
    /// For balancers.
    answers: health::Answers,
    /// Files that Postgres does not hold, if this process reaches them.
    store: Option<MediaStore>,
    /// Changes that are under way, by tenant (`None` is tokens of all tenants); each has a connection to the database.
    changes: Shares<Option<String>>,
    /// The same of link pages and of the marketplace, by session.
    linkings: Shares<String>,
    /// `None` while it is off.
    marketplace: Option<Marketplace>,
}

impl Deref for Web {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Web {
    /// Whether browsers come by https.
    fn is_https(&self) -> bool {
        self.url.as_ref().is_some_and(|url| url.scheme() == "https")
    }
}

/// The running pages.
#[derive(Debug)]
pub struct Pages {
    /// URL under which browsers reach them, without a slash at the end.
    pub url: String,
    /// Where they listen.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Pages {
    /// Waits until they have ended, after `stop`.
    pub async fn ended(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "task of the pages failed");
        }
    }
}

/// Serves the pages until `stop`.
///
/// # Errors
/// See [`WebServeError`].
pub async fn serve(config: &Config, database: &Secret, stop: CancellationToken) -> Result<Pages, WebServeError> {
    let settings = &config.web;
    let address = settings.listen.ok_or(WebServeError::NoAddress)?;
    let database = settings.database_url.as_ref().unwrap_or(database);
    let pool = identity::connect(database, config.database_pooler, settings.connections).await?;
    let listen = |source| WebServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    let url = settings.url.as_ref().and_then(|url| Url::parse(url).ok());
    let shown =
        url.as_ref().map_or_else(|| format!("http://{bound}"), |url| url.as_str().trim_end_matches('/').to_owned());
    if url.is_some() || !bound.ip().is_unspecified() {
        identity::register(&pool, &shown, url.is_none()).await.map_err(WebServeError::Role)?;
    } else {
        identity::begin(&pool).await.map_err(WebServeError::Role)?.rollback().await.map_err(WebServeError::Role)?;
        tracing::warn!(
            "web.url is not set, and {bound} is no address that browsers reach: links of wa.link_url and wa.login_link need \
             one that is; set web.url, or call wa.register_web"
        );
    }
    let media = &config.media;
    let store = media.store.as_ref().map(|store| MediaStore::open(store, &media.store_options)).transpose();
    let store = store.unwrap_or_else(|error| {
        tracing::warn!(%error, "pages show no files of the media store");
        None
    });
    let over = stop.child_token();
    let web = Web(Arc::new(Shared {
        hub: Hub::new(pool.clone(), settings, over.clone()),
        answers: health::Answers::default(),
        store,
        changes: Shares::new(share_of(settings.connections, 4), share_of(settings.connections, 2)),
        linkings: Shares::new(share_of(settings.connections, 4), share_of(settings.connections, 2)),
        pool,
        limits: Limits::new(settings.requests_per_minute, settings.logins_per_minute),
        proxies: settings.trusted_proxies.clone(),
        user_header: settings.user_header.as_ref().and_then(|name| HeaderName::try_from(name).ok()),
        marketplace: Marketplace::new(config, &shown),
        url,
    }));
    let bells = web.hub.listen((!config.database_pooler).then(|| database.clone()), over.clone());
    let mut routes = router(web.clone());
    let mut sockets = None;
    if let Some((_, secret)) = config.marketplace.secrets() {
        let (more, kept) = socketio::open(&web, &config.marketplace, Tokens::new(secret));
        routes = routes.merge(more);
        sockets = Some(kept);
    }
    let server = server::Server::new(listener, routes, settings);
    let closing = stop.clone();
    let task = tokio::spawn(async move {
        let housekeeping = async {
            loop {
                marketplace::count(&web).await;
                tokio::time::sleep(Duration::from_secs(30)).await;
                web.limits.forget();
                if let Some(marketplace) = &web.marketplace {
                    marketplace.forget();
                }
            }
        };
        let serving = async {
            tokio::join!(server.run(stop), async {
                if let Some(sockets) = sockets {
                    sockets.keep(closing).await;
                }
            });
        };
        tokio::select! {
            () = serving => {}
            () = housekeeping => {}
        }
        over.cancel();
        bells.await;
        web.pool.close().await;
    });
    Ok(Pages { url: shown, address: bound, task })
}

/// A part of the connections to the database, at least one.
fn share_of(connections: u32, parts: u32) -> usize {
    usize::try_from(connections / parts).unwrap_or(1).max(1)
}

fn router(web: Web) -> Router {
    Router::new()
        .route("/", get(page::home))
        .route("/livez", get(health::livez))
        .route("/health", get(health::health))
        .route("/login", get(login::page).post(login::sign_in))
        .route("/login/{secret}", get(login::link_page).post(login::sign_in_by_link))
        .route("/logout", post(login::sign_out))
        .route("/language/{code}", get(page::language))
        .route("/assets/{hash}/{name}", get(assets::serve))
        .route("/link/{secret}", get(link::page))
        .route("/link/{secret}/live", get(live::link_page))
        .route("/link/{secret}/qr.png", get(link::qr_png))
        .route("/link/{secret}/{step}", post(link::step))
        .route("/act/{name}", post(call::run))
        .route("/media/{id}", get(media::serve))
        .route("/stream", get(live::page))
        .route("/stream/events", get(live::events))
        .route("/{screen}", get(page::screen))
        .route("/{screen}/{item}", get(page::screen_of))
        .fallback(page::not_found)
        .layer(middleware::from_fn_with_state(web.clone(), panics::survive))
        .layer(middleware::from_fn_with_state(web.clone(), guard::guard))
        .merge(marketplace::router(&web).layer(middleware::from_fn_with_state(web.clone(), panics::survive)))
        .with_state(web)
}

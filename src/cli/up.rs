//! `wagres up`, `worker`, `web` and `sandbox`: the commands that run until they are stopped.

use super::{FaultFlags, connect, database_url, migrate_schema, out, service, stop_signal};
use crate::config::{Config, Secret};
use crate::db::cluster::Cluster;
use crate::db::folder::{DataFolder, RunningUp};
use crate::http;
use crate::web::{self, Pages, WebServeError};
use crate::worker::{Phase, Worker};
use anyhow::Context;
use serde_json::{Map, Value, json};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Where a sandbox listens: for devices, for the control API and for media.
type Doors = [SocketAddr; 3];

/// Where the pages are, unless the configuration says otherwise.
const PAGES: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7461);
/// The token of the login link that `wagres up` prints.
const UP_TOKEN: &str = "up";

/// A sandbox beside the worker.
pub(super) struct SandboxFlags<'a> {
    pub(super) faults: &'a FaultFlags,
    /// Its state file, if not that of the data folder.
    pub(super) state: Option<PathBuf>,
}

/// Runs everything in one process, with a sandbox if there are flags for one. Stops in the reverse order of the start.
pub(super) async fn up(mut config: Config, sandbox: Option<SandboxFlags<'_>>, json: bool) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    // Several of them on one machine each have their pages.
    let any_port = config.web.listen.is_none();
    config.web.listen.get_or_insert(PAGES);
    // What writes to the folder: the private Postgres, which would be stopped by a second start, and the sandbox.
    let folder = if config.database_url.is_none() || sandbox.is_some() {
        Some(DataFolder::lock(&config.data_dir)?)
    } else {
        None
    };
    let sandbox = match (sandbox, &folder) {
        (Some(flags), Some(folder)) => {
            let sandbox = beside(folder, flags).await?;
            config.whatsapp_url = sandbox.ws_url();
            Some(sandbox)
        }
        _ => None,
    };
    let cluster = match &folder {
        Some(folder) if config.database_url.is_none() => {
            let cluster = Cluster::start(folder).await?;
            config.database_url = Some(cluster.url());
            Some(cluster)
        }
        _ => None,
    };
    // On the heap: everything that runs is in it.
    let ended = Box::pin(async {
        migrate_schema(&config).await?;
        let url = database_url(&config)?.clone();
        if let Some(folder) = &folder {
            let private = cluster.as_ref().map(Cluster::tcp_url);
            folder.announce(&RunningUp {
                pid: std::process::id(),
                private: private.is_some(),
                database_urls: std::iter::once(url.without_password()).chain(private).collect(),
                whatsapp_url: config.whatsapp_url.clone(),
            })?;
        }
        let beside = Beside { sandbox: sandbox.as_ref(), cluster: cluster.as_ref(), is_up: true, any_port };
        let working = work(config, beside, json, stop.clone());
        match &sandbox {
            Some(sandbox) => tokio::select! {
                ended = working => ended,
                never = sandbox.show_qr_codes(&url) => match never {},
            },
            None => working.await,
        }
    })
    .await;
    if let Some(cluster) = cluster {
        cluster.stop().await?;
    }
    if let Some(sandbox) = sandbox {
        sandbox.stop().await;
    }
    ended
}

/// A sandbox with the state and the ports of the last start in this folder.
async fn beside(folder: &DataFolder, flags: SandboxFlags<'_>) -> anyhow::Result<Sandbox> {
    let door = |name| SocketAddr::from(([127, 0, 0, 1], folder.kept_port(name).unwrap_or(0)));
    let doors = [door("sandbox"), door("control"), door("media")];
    let state = flags.state.unwrap_or_else(|| folder.path().join("sandbox.json"));
    let sandbox = Sandbox::start(doors, flags.faults, Some(state)).await?;
    let urls = [("sandbox", sandbox.ws_url()), ("control", sandbox.control_url()), ("media", sandbox.media_url())];
    for (name, url) in urls {
        if let Some(port) = Url::parse(&url)?.port() {
            folder.keep_port(name, port)?;
        }
    }
    Ok(sandbox)
}

/// Serves the pages alone.
pub(super) async fn pages(mut config: Config, json: bool) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    config.web.listen.get_or_insert(PAGES);
    let figures = match config.web.metrics {
        Some(address) => {
            let served = http::serve_figures(address, stop.clone()).await;
            Some(served.with_context(|| format!("configuration: web.metrics: cannot listen on {address}"))?)
        }
        None => None,
    };
    let pages = web::serve(&config, database_url(&config)?, stop.clone()).await?;
    let http = figures.as_ref().map(|(address, _)| format!("http://{address}"));
    let line = json!({ "ready": true, "web": pages.url, "http": http });
    let shown = http.map_or_else(String::new, |http| format!("\nhttp      {http}"));
    out::announce(json, &line, &format!("ready\nweb       {}{shown}", pages.url));
    service::ready();
    // The pages wait for the database by themselves, so whoever runs is well.
    stop.run_until_cancelled(service::watch(|| true)).await;
    service::stopping();
    pages.ended().await;
    if let Some((_, serving)) = figures {
        serving.await.context("the HTTP server")?;
    }
    Ok(())
}

/// Runs a worker alone.
pub(super) async fn worker(config: Config, json: bool) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    work(config, Beside::default(), json, stop.clone()).await
}

/// Runs the sandbox alone.
pub(super) async fn sandbox(
    ws: SocketAddr,
    control: SocketAddr,
    faults: &FaultFlags,
    state: Option<PathBuf>,
    json: bool,
) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let media = SocketAddr::from(([127, 0, 0, 1], 0));
    let sandbox = Sandbox::start([ws, control, media], faults, state).await?;
    let line = json!({ "sandbox": sandbox.ws_url(), "sandbox_control": sandbox.control_url() });
    out::announce(json, &line, &format!("devices      {}\ncontrol API  {}", sandbox.ws_url(), sandbox.control_url()));
    stop.cancelled().await;
    sandbox.stop().await;
    Ok(())
}

/// What runs beside the worker of `wagres up`.
#[derive(Default)]
struct Beside<'a> {
    sandbox: Option<&'a Sandbox>,
    cluster: Option<&'a Cluster>,
    /// Whether to print a link that signs in to the pages.
    is_up: bool,
    /// Whether the pages may take another port when theirs is taken.
    any_port: bool,
}

/// Serves the pages; with `any_port` on a free one if theirs is taken.
async fn serve_pages(
    config: &mut Config,
    database: &Secret,
    any_port: bool,
    stop: &CancellationToken,
) -> Result<Pages, WebServeError> {
    match web::serve(config, database, stop.clone()).await {
        Err(WebServeError::Listen { address, source }) if any_port && source.kind() == ErrorKind::AddrInUse => {
            config.web.listen = Some(SocketAddr::new(address.ip(), 0));
            web::serve(config, database, stop.clone()).await
        }
        served => served,
    }
}

/// A one-time link to the dashboard, for whoever sees this terminal; none if this login may not make tokens.
async fn login_link(config: &Config) -> anyhow::Result<Option<String>> {
    let db = connect(config).await?;
    let link = sqlx::query_file_scalar!("sql/cli/login_link.sql", UP_TOKEN).fetch_one(&db).await;
    db.close().await;
    match link {
        Ok(link) => Ok(Some(link)),
        // No address is registered, of which the pages warn.
        Err(error) if error.as_database_error().is_some_and(|it| it.code().as_deref() == Some("WA052")) => Ok(None),
        Err(error) if error.as_database_error().is_some_and(|it| it.code().as_deref() == Some("42501")) => {
            tracing::warn!("no login link: this login may not add tokens; wagres token add, as an administrator, does");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Why `/health` and `/metrics` cannot be served, and what helps.
fn not_served(address: SocketAddr, error: &std::io::Error) -> anyhow::Error {
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => {
            "; another program listens there, perhaps another worker: --http 127.0.0.1:0 takes a free port; http = … in \
             wagres.toml or WAGRES_HTTP names another one"
        }
        _ => "; name an address of this machine with --http, with http = … in wagres.toml, or with WAGRES_HTTP",
    };
    anyhow::anyhow!("configuration: http: cannot listen on {address}: {error}{remedy}")
}

/// Runs the worker, the HTTP server and the pages, and prints their addresses when they are ready.
async fn work(mut config: Config, beside: Beside<'_>, json: bool, stop: CancellationToken) -> anyhow::Result<()> {
    let Beside { sandbox, cluster, is_up, any_port } = beside;
    let url = database_url(&config)?.clone();
    let pages_stop = CancellationToken::new();
    let pages = match config.web.listen {
        Some(_) => Some(serve_pages(&mut config, &url, any_port, &pages_stop).await?),
        None => None,
    };
    let login = if is_up { login_link(&config).await? } else { None };
    let (address, drain) = (config.http, Duration::from_secs(config.worker.drain_seconds.into()));
    let worker = Worker::new(config)?;
    let window = worker.window();
    let http_stop = CancellationToken::new();
    let (http, serving) =
        http::serve(address, window.clone(), http_stop.clone()).await.map_err(|error| not_served(address, &error))?;
    let http = format!("http://{http}");

    let mut phase = window.phase.clone();
    let mut running = tokio::spawn(worker.run(stop));
    let early = tokio::select! {
        ended = &mut running => Some(ended),
        began = phase.wait_for(|p| *p == Phase::Working) => { drop(began); None }
    };
    let ended = if let Some(ended) = early {
        ended
    } else {
        // Standard output ends up in logs, so without a password: the caller gave it, or finds it in the file.
        let mut ready = vec![("database", "database_url", url.without_password())];
        if let Some(cluster) = cluster {
            ready.push(("over TCP", "database_tcp_url", cluster.tcp_url()));
            ready.push(("password", "pgpassfile", cluster.pass_file().display().to_string()));
        }
        ready.push(("http", "http", http));
        if let Some(pages) = &pages {
            ready.push(("web", "web", pages.url.clone()));
        }
        if let Some(login) = login {
            ready.push(("sign in", "web_login", login));
        }
        if let Some(sandbox) = sandbox {
            ready.push(("sandbox", "sandbox", sandbox.ws_url()));
            ready.push(("control", "sandbox_control", sandbox.control_url()));
        }
        let lines: Vec<_> = ready.iter().map(|(name, _, value)| format!("\n{name:<9} {value}")).collect();
        let text = lines.concat();
        let fields = ready.into_iter().map(|(_, key, value)| (key.to_owned(), Value::from(value)));
        let line: Map<_, _> = fields.chain([("ready".to_owned(), Value::from(true))]).collect();
        out::announce(json, &Value::Object(line), &format!("ready{text}"));
        service::ready();
        tokio::select! {
            ended = running => ended,
            never = service::tell(window, drain) => match never {},
        }
    };
    http_stop.cancel();
    pages_stop.cancel();
    if let Some(pages) = pages {
        pages.ended().await;
    }
    serving.await.context("the HTTP server")?;
    ended.context("the worker")??;
    Ok(())
}

#[cfg(feature = "sandbox")]
use running_sandbox::Sandbox;

#[cfg(feature = "sandbox")]
mod running_sandbox {
    use super::{Doors, FaultFlags};
    use crate::config::Secret;
    use crate::db::{self, listener};
    use anyhow::Context;
    use std::convert::Infallible;
    use std::path::PathBuf;
    use tokio::sync::Notify;
    use tokio_util::sync::CancellationToken;
    use wagres_sandbox::{Options, Running, Scenario};

    /// The running sandbox.
    pub(super) struct Sandbox(Running);

    impl Sandbox {
        pub(super) async fn start(doors: Doors, faults: &FaultFlags, state: Option<PathBuf>) -> anyhow::Result<Self> {
            let scenario = match &faults.scenario {
                Some(file) => {
                    let text = tokio::fs::read_to_string(file).await;
                    let text = text.with_context(|| format!("--scenario: cannot read {}", file.display()))?;
                    Some(Scenario::read(&text).with_context(|| format!("--scenario: {}", file.display()))?)
                }
                None => None,
            };
            let [ws, control, media] = doors;
            let options = Options { ws, control, media, seed: faults.seed, state, ..Options::default() };
            let sandbox = wagres_sandbox::Sandbox::start(options).await.context("starting the sandbox")?;
            if let Some(scenario) = scenario {
                sandbox.play(scenario)?;
            }
            Ok(Self(sandbox))
        }

        pub(super) fn ws_url(&self) -> String {
            self.0.ws_url()
        }

        pub(super) fn control_url(&self) -> String {
            self.0.control_url()
        }

        pub(super) fn media_url(&self) -> String {
            self.0.media_url()
        }

        /// Shows each session's QR code to the sandbox's phones, so that the user of a phone only has to pick it.
        pub(super) async fn show_qr_codes(&self, url: &Secret) -> Infallible {
            let (wake, channels) = (Notify::new(), ["wa_session".to_owned()]);
            let listening = listener::wake_on(url.clone(), &channels, |_| wake.notify_one(), CancellationToken::new());
            let forwarding = async {
                loop {
                    wake.notified().await;
                    if let Err(error) = self.show_current_codes(url).await {
                        tracing::warn!(%error, "could not show the sessions' QR codes to the sandbox's phones");
                    }
                }
            };
            tokio::join!(listening, forwarding).1
        }

        async fn show_current_codes(&self, url: &Secret) -> anyhow::Result<()> {
            let pool = db::connect(url, 1, "wagres sandbox").await?;
            let codes = sqlx::query!(
                r#"SELECT name, qr AS "qr!" FROM wa.session WHERE qr IS NOT NULL AND qr_expires_at > now()"#
            );
            for code in codes.fetch_all(&pool).await? {
                // Fails if the device has disconnected meanwhile; then its row changes next.
                let _ = self.0.show_qr(&code.qr, &code.name);
            }
            pool.close().await;
            Ok(())
        }

        pub(super) async fn stop(self) {
            self.0.shutdown().await;
        }
    }
}

/// Takes its place in a build without the feature; it cannot be started.
#[cfg(not(feature = "sandbox"))]
enum Sandbox {}

#[cfg(not(feature = "sandbox"))]
impl Sandbox {
    #[expect(clippy::unused_async, reason = "the same shape as the real one")]
    async fn start(_: Doors, _: &FaultFlags, _: Option<PathBuf>) -> anyhow::Result<Self> {
        anyhow::bail!("this build has no sandbox; build with: cargo build --features sandbox")
    }

    fn ws_url(&self) -> String {
        match *self {}
    }

    fn control_url(&self) -> String {
        match *self {}
    }

    fn media_url(&self) -> String {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "the same shape as the real one")]
    async fn show_qr_codes(&self, _: &crate::config::Secret) -> std::convert::Infallible {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "the same shape as the real one")]
    async fn stop(self) {
        match self {}
    }
}

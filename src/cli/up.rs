//! `wagres up`, `worker` and `sandbox`: the commands that run until they are stopped.

use super::{FaultFlags, database_url, migrate_schema, print, stop_signal};
use crate::config::Config;
use crate::db::cluster::Cluster;
use crate::http;
use crate::worker::{Phase, Worker};
use anyhow::Context;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// Runs everything in one process, with a sandbox if there are flags for one. Stops in the reverse order of the start.
pub(super) async fn up(mut config: Config, sandbox: Option<&FaultFlags>, json: bool) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let sandbox = if let Some(faults) = sandbox {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let sandbox = Sandbox::start(any, any, faults, None).await?;
        config.whatsapp_url = sandbox.ws_url();
        Some(sandbox)
    } else {
        None
    };
    let cluster = if config.database_url.is_none() {
        let cluster = Cluster::start(&config.data_dir).await?;
        config.database_url = Some(cluster.url());
        Some(cluster)
    } else {
        None
    };
    let ended = async {
        migrate_schema(&config).await?;
        let url = database_url(&config)?.clone();
        let working = work(config, sandbox.as_ref(), json, stop);
        match &sandbox {
            Some(sandbox) => tokio::select! {
                ended = working => ended,
                never = sandbox.show_qr_codes(&url) => match never {},
            },
            None => working.await,
        }
    }
    .await;
    if let Some(cluster) = cluster {
        cluster.stop().await?;
    }
    if let Some(sandbox) = sandbox {
        sandbox.stop().await;
    }
    ended
}

/// Runs a worker alone.
pub(super) async fn worker(config: Config, json: bool) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    work(config, None, json, stop).await
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
    let sandbox = Sandbox::start(ws, control, faults, state).await?;
    let line = json!({ "sandbox": sandbox.ws_url(), "sandbox_control": sandbox.control_url() });
    print(json, &line, &format!("devices      {}\ncontrol API  {}", sandbox.ws_url(), sandbox.control_url()));
    stop.cancelled().await;
    sandbox.stop().await;
    Ok(())
}

/// Runs the worker and the HTTP server, and prints their addresses when they are ready.
async fn work(config: Config, sandbox: Option<&Sandbox>, json: bool, stop: CancellationToken) -> anyhow::Result<()> {
    let url = database_url(&config)?.clone();
    let address = config.http;
    let worker = Worker::new(config)?;
    let window = worker.window();
    let http_stop = CancellationToken::new();
    let (http, serving) = http::serve(address, window.clone(), http_stop.clone())
        .await
        .with_context(|| format!("configuration: http: cannot listen on {address}"))?;
    let http = format!("http://{http}");

    let mut phase = window.phase;
    let mut running = tokio::spawn(worker.run(stop));
    let early = tokio::select! {
        ended = &mut running => Some(ended),
        began = phase.wait_for(|p| *p == Phase::Working) => { drop(began); None }
    };
    let ended = if let Some(ended) = early {
        ended
    } else {
        let mut ready = Map::from_iter([
            ("ready".to_owned(), Value::from(true)),
            // With the password, because the caller uses this URL.
            ("database_url".to_owned(), Value::from(url.expose())),
            ("http".to_owned(), Value::from(http.as_str())),
        ]);
        let mut text = format!("ready\ndatabase  {}\nhttp      {http}", url.masked());
        if let Some(sandbox) = sandbox {
            ready.insert("sandbox".to_owned(), sandbox.ws_url().into());
            ready.insert("sandbox_control".to_owned(), sandbox.control_url().into());
            for line in ["\nsandbox   ", &sandbox.ws_url(), "\ncontrol   ", &sandbox.control_url()] {
                text += line;
            }
        }
        print(json, &Value::Object(ready), &text);
        running.await
    };
    http_stop.cancel();
    serving.await.context("the HTTP server")?;
    ended.context("the worker")??;
    Ok(())
}

#[cfg(feature = "sandbox")]
use running_sandbox::Sandbox;

#[cfg(feature = "sandbox")]
mod running_sandbox {
    use super::FaultFlags;
    use crate::config::Secret;
    use crate::db::{self, listener};
    use anyhow::Context;
    use std::convert::Infallible;
    use std::net::SocketAddr;
    use std::path::PathBuf;
    use tokio::sync::Notify;
    use tokio_util::sync::CancellationToken;
    use wagres_sandbox::{Options, Running, Scenario};

    /// The running sandbox.
    pub(super) struct Sandbox(Running);

    impl Sandbox {
        pub(super) async fn start(
            ws: SocketAddr,
            control: SocketAddr,
            faults: &FaultFlags,
            state: Option<PathBuf>,
        ) -> anyhow::Result<Self> {
            let scenario = match &faults.scenario {
                Some(file) => {
                    let text = tokio::fs::read_to_string(file).await;
                    let text = text.with_context(|| format!("--scenario: cannot read {}", file.display()))?;
                    Some(Scenario::read(&text).with_context(|| format!("--scenario: {}", file.display()))?)
                }
                None => None,
            };
            let options = Options { ws, control, seed: faults.seed, state, ..Options::default() };
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

        /// Shows each session's QR code to the sandbox's phones, so that the user of a phone only has to pick it.
        pub(super) async fn show_qr_codes(&self, url: &Secret) -> Infallible {
            let wake = Notify::new();
            let listening =
                listener::wake_on(url.clone(), "wa_session", |_| wake.notify_one(), CancellationToken::new());
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
    async fn start(_: SocketAddr, _: SocketAddr, _: &FaultFlags, _: Option<PathBuf>) -> anyhow::Result<Self> {
        anyhow::bail!("this build has no sandbox; build with: cargo build --features sandbox")
    }

    fn ws_url(&self) -> String {
        match *self {}
    }

    fn control_url(&self) -> String {
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

//! Workers, sessions and phones of a benchmark through the sandbox.
//!
//! A worker is a process of its own, as an operator starts it. Sessions are linked by QR code through SQL and the
//! sandbox's control API; then their owners' phones are switched off, because their work would count as the sandbox's.

use super::sandbox::process::Process;
use super::server::Database;
use anyhow::{Context, bail, ensure};
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use wagres::telemetry::Usage;

/// Devices that are linked at the same time.
const LINKING: usize = 8;
/// Limit for every wait.
pub(super) const TIMEOUT: Duration = Duration::from_mins(10);
/// Pause after connecting, because a new connection still has work to do.
pub(super) const SETTLING: Duration = Duration::from_secs(5);
/// The number of the first session's phone, and of the first phone of its chats.
const OWN: u64 = 15_560_000_000;
const CHATS: u64 = 15_550_000_000;

/// A worker as an operator starts it.
pub(super) struct Worker(Child);

impl Worker {
    pub(super) async fn start(database: &Database, sandbox: &Process, lease_seconds: u32) -> anyhow::Result<Self> {
        let mut command = super::wagres()?;
        command
            .args(["worker", "--json", "--http", "127.0.0.1:0", "--log", "error"])
            .args(["--database-url", database.url.expose(), "--whatsapp-url", &sandbox.ws])
            .env("WAGRES_WORKER__LEASE_SECONDS", lease_seconds.to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().context("starting a worker")?;
        let output = child.stdout.take().context("the worker has no output")?;
        let line = BufReader::new(output).lines().next_line().await?.context("the worker did not start")?;
        let ready: Value = serde_json::from_str(&line)?;
        ensure!(ready["ready"] == true, "the worker is not ready: {line}");
        Ok(Self(child))
    }

    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        Ok(Usage::of(self.pid()?))
    }

    fn pid(&self) -> anyhow::Result<u32> {
        self.0.id().context("the worker has ended")
    }

    pub(super) fn memory_mb(&self) -> anyhow::Result<f64> {
        #[expect(clippy::cast_precision_loss, reason = "no process has 2^52 bytes")]
        Ok(self.usage()?.memory as f64 / 1e6)
    }

    /// Stops the worker in order.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let status = Command::new("kill").args(["-TERM", &self.pid()?.to_string()]).status().await?;
        ensure!(status.success(), "cannot signal the worker");
        let status = tokio::time::timeout(TIMEOUT, self.0.wait()).await.context("the worker does not stop")??;
        ensure!(status.success(), "the worker ended with {status}");
        Ok(())
    }

    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.0.kill().await?)
    }
}

/// Links the sessions bench1, bench2 … (bench1 has number 0), some at a time.
pub(super) async fn link(database: &Database, sandbox: &Process, numbers: std::ops::Range<u32>) -> anyhow::Result<()> {
    let linking = numbers.map(|number| async move {
        let (session, number) = (format!("bench{}", number + 1), own(number));
        sandbox.post("/phones", json!({ "number": number })).await?;
        sqlx::query_file!("sql/link.sql", session).fetch_one(&database.pool).await?;
        let start = Instant::now();
        let mut scanned = None;
        loop {
            ensure!(start.elapsed() < TIMEOUT, "session {session} was not linked in time");
            let row = sqlx::query_file!("sql/linked.sql", session).fetch_one(&database.pool).await?;
            if row.connected {
                break;
            }
            if row.qr.is_some() && row.qr != scanned {
                sandbox.post(&format!("/phones/{number}/scan"), json!({ "qr": row.qr })).await?;
                scanned = row.qr;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        sandbox.post("/phones", json!({ "number": number, "phone": "off" })).await.map(drop)
    });
    let done: Vec<anyhow::Result<()>> = futures::stream::iter(linking).buffer_unordered(LINKING).collect().await;
    done.into_iter().collect()
}

/// The database's clock.
pub(super) async fn now(database: &Database) -> anyhow::Result<Duration> {
    let seconds = sqlx::query_file_scalar!("sql/now.sql").fetch_one(&database.pool).await?;
    Ok(Duration::from_secs_f64(seconds))
}

/// Waits until this many sessions have connected since a time of the database's clock; returns the moment.
pub(super) async fn connected(database: &Database, sessions: u32, since: Duration) -> anyhow::Result<Instant> {
    until("the sessions are connected", async || {
        let connected = sqlx::query_file_scalar!("sql/connected.sql", since.as_secs_f64());
        Ok(connected.fetch_one(&database.pool).await? >= i64::from(sessions))
    })
    .await
}

pub(super) async fn until(what: &str, look: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<Instant> {
    let start = Instant::now();
    while !look().await? {
        if start.elapsed() > TIMEOUT {
            bail!("timed out waiting until {what}");
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Ok(Instant::now())
}

/// The number of a session's phone.
pub(super) fn own(number: u32) -> String {
    (OWN + u64::from(number)).to_string()
}

/// The number of a chat's phone, as in `sql/insert.sql`.
pub(super) fn chat(number: u32) -> String {
    (CHATS + u64::from(number)).to_string()
}

//! The other queues on Postgres of `ecosystem/bench/peers`, as far as they are installed.
//!
//! Each is a program of its own, called as `PROGRAM insert|drain|latency JOBS` with `DATABASE_URL`, that prints one
//! line of JSON. A peer that is not installed is reported as missing; no old figure replaces its own.

use super::cost::Cost;
use super::engine;
use super::figure::{Figure, median};
use super::server::Server;
use anyhow::{Context, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Limit for one call of a peer.
const TIMEOUT: Duration = Duration::from_mins(10);

#[derive(Debug, clap::Args)]
pub(super) struct PeerArgs {
    /// Folder of the programs of ecosystem/bench/peers/install.sh
    #[arg(long, value_name = "DIR", default_value = "ecosystem/bench/peers/.installed/bin")]
    peers: PathBuf,
}

/// Another queue on Postgres.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: &'static str,
    /// Divisor of the number of jobs, so that a slow peer does not drain for minutes.
    divisor: u64,
}

const PEERS: &[Peer] = &[
    Peer { name: "graphile-worker-local-queue", divisor: 1 },
    Peer { name: "apalis-postgres", divisor: 1 },
    Peer { name: "awa", divisor: 1 },
    Peer { name: "pg-boss", divisor: 1 },
    Peer { name: "graphile-worker", divisor: 5 },
    Peer { name: "procrastinate", divisor: 20 },
];

/// Peers that are installed, and those that are not.
pub(super) struct Peers {
    folder: PathBuf,
    pub(super) installed: Vec<&'static Peer>,
    missing: Vec<&'static Peer>,
}

impl Peers {
    pub(super) fn find(args: &PeerArgs) -> anyhow::Result<Self> {
        let folder = std::path::absolute(&args.peers).context("--peers")?;
        let (installed, missing) = PEERS.iter().partition(|peer| folder.join(peer.name).exists());
        Ok(Self { folder, installed, missing })
    }

    /// A row for each missing peer.
    pub(super) fn missing(&self, id: &'static str, name: &str) -> impl Iterator<Item = Figure> {
        let why = "not installed: ecosystem/bench/peers/install.sh";
        self.missing
            .iter()
            .map(move |peer| Figure { id, name: name.to_owned(), ..Figure::default() }.without(peer.name, why))
    }

    /// Jobs a second that the peer drains, and the cost of each.
    pub(super) async fn drain(&self, peer: &Peer, server: &Server, jobs: u64) -> anyhow::Result<(f64, Cost)> {
        let jobs = (jobs / peer.divisor).max(1);
        let database = server.database().await?;
        self.call(peer, database.url.expose(), "insert", jobs).await?;
        database.settle().await?;
        let before = Cost::so_far(&database).await?;
        let drained = self.call(peer, database.url.expose(), "drain", jobs).await?;
        let seconds = number(&drained, "seconds")?;
        let after = Cost::so_far(&database).await?;
        let jobs = engine::count(jobs);
        database.pool.close().await;
        Ok((jobs / seconds, after.since(before, jobs)))
    }

    /// The peer's p50 and p99 from insert to handler, in milliseconds.
    pub(super) async fn latency(&self, peer: &Peer, server: &Server, jobs: u64) -> anyhow::Result<(f64, f64)> {
        let database = server.database().await?;
        let measured = self.call(peer, database.url.expose(), "latency", jobs).await?;
        database.pool.close().await;
        Ok((number(&measured, "p50_ms")?, number(&measured, "p99_ms")?))
    }

    async fn call(&self, peer: &Peer, url: &str, action: &str, jobs: u64) -> anyhow::Result<Value> {
        tracing::info!(peer = peer.name, action, jobs, "measuring");
        let called = Command::new(self.folder.join(peer.name))
            .args([action, &jobs.to_string()])
            .env("DATABASE_URL", url)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(TIMEOUT, called)
            .await
            .map_err(|_| anyhow::anyhow!("{} {action}: no result in {TIMEOUT:?}", peer.name))?
            .with_context(|| format!("starting {}", peer.name))?;
        if !output.status.success() {
            bail!("{} {action}: {}", peer.name, output.status);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(text.trim()).with_context(|| format!("{} {action} printed {text:?}", peer.name))
    }
}

fn number(line: &Value, field: &str) -> anyhow::Result<f64> {
    line[field].as_f64().filter(|it| *it > 0.0).with_context(|| format!("no {field} in {line}"))
}

/// The median of several drains, and the cost of the last.
pub(super) fn median_run(runs: &[(f64, Cost)]) -> Option<(f64, Cost)> {
    let (_, cost) = runs.last()?;
    Some((median(runs.iter().map(|(rate, _)| *rate).collect()), *cost))
}

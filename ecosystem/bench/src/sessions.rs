//! `wagres-bench sessions`: memory of a connected session (P4), start to all connected (P5), and failover (P6).
//!
//! Sandbox, workers and Postgres are processes of their own on this machine and compete for its cores. Sessions are
//! linked first, then the worker is stopped: the figures are those of a worker that starts with linked sessions.
//!
//! The memory of a session is the growth of the worker from one size to the next (from a worker without sessions to the
//! first size), divided by the sessions added. The bare library's clients are linked in the measured process, with
//! stores in memory.

use super::figure::{self, Better, Figure};
use super::fleet::{SETTLING, Worker, connected, link, now, until};
use super::sandbox::process::Process;
use super::server::{self, Database, ServerArgs};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::process::Command;
use wagres::db;

/// P4: limits for the memory of one more session, and of a worker with a thousand.
const SESSION_MB: f64 = 0.35;
const THOUSAND_MB: f64 = 400.0;
/// P5: limit from the start to a thousand connected sessions.
const START_SECONDS: f64 = 15.0;
/// P6: limit for the time of a failover beyond the lease.
const FAILOVER_SECONDS: f64 = 5.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Sessions with which a worker starts, one or several sizes
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [10, 100, 1000])]
    sessions: Vec<u32>,
    /// Sessions that two workers share when one of them is killed; 0 skips the failover
    #[arg(long, value_name = "N", default_value_t = 200)]
    failover: u32,
    /// Length of the workers' lease
    #[arg(long, value_name = "S", default_value_t = 15)]
    lease_seconds: u32,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: Args, given: Option<&str>, json: bool) -> anyhow::Result<()> {
    let figures =
        server::with(&args.server, given, async |server| measure(&server.database().await?, &args).await).await?;
    figure::print(&figures, json)
}

async fn measure(database: &Database, args: &Args) -> anyhow::Result<Vec<Figure>> {
    db::migrate::migrate(&database.pool).await?;
    let sandbox = Process::start().await?;
    let worker = async || Worker::start(database, &sandbox, args.lease_seconds).await;
    let idle = worker().await?;
    tokio::time::sleep(SETTLING).await;
    let idle_mb = idle.memory_mb()?;
    idle.stop().await?;

    let mut sizes = args.sessions.clone();
    sizes.sort_unstable();
    sizes.dedup();
    let mut figures = vec![];
    let (mut linked, mut before_mb) = (0, idle_mb);
    for size in sizes.iter().copied().filter(|size| *size > 0) {
        let linking = worker().await?;
        link(database, &sandbox, linked..size).await?;
        connected(database, size, Duration::ZERO).await?;
        // The sessions linked last still exchange their first stanzas.
        tokio::time::sleep(SETTLING).await;
        linking.stop().await?;

        let (before, start) = (now(database).await?, Instant::now());
        let started = worker().await?;
        let all = connected(database, size, before).await?.saturating_duration_since(start).as_secs_f64();
        tokio::time::sleep(SETTLING).await;
        let memory = started.memory_mb()?;
        started.stop().await?;

        let each = (memory - before_mb) / f64::from(size - linked);
        let one = || Figure::new("P4", format!("memory a session, {linked} to {size}"), each, "MB");
        figures.push(one().beside("the budget", SESSION_MB, Better::Less).budget(1.0));
        figures.push(match bare(size).await {
            Ok(bare) => one().beside(format!("bare library, 0 to {size}"), bare, Better::Less),
            Err(error) => one().without("bare library", error.to_string()),
        });
        (linked, before_mb) = (size, memory);
        let whole = Figure::new("P4", format!("memory of a worker, {size} sessions"), memory, "MB");
        let start = Figure::new("P5", format!("start to all {size} connected"), all, "s");
        if size == 1000 {
            figures.push(whole.beside("the budget", THOUSAND_MB, Better::Less).budget(1.0));
            figures.push(start.beside("the budget", START_SECONDS, Better::Less).budget(1.0));
        } else {
            figures.push(whole.beside("a worker without sessions", idle_mb, Better::Less));
            figures.push(start);
        }
    }
    if args.failover > 0 {
        figures.push(failover(database, &sandbox, args, linked).await?);
    }
    sandbox.stop().await;
    Ok(figures)
}

/// From the death of one of two workers until the other has all sessions connected.
async fn failover(database: &Database, sandbox: &Process, args: &Args, linked: u32) -> anyhow::Result<Figure> {
    let worker = async || Worker::start(database, sandbox, args.lease_seconds).await;
    if linked < args.failover {
        let linking = worker().await?;
        link(database, sandbox, linked..args.failover).await?;
        linking.stop().await?;
    }
    sqlx::query_file!("sql/wish.sql", i64::from(args.failover)).execute(&database.pool).await?;
    let (one, other) = (worker().await?, worker().await?);
    until("both workers hold half of the sessions", async || {
        let held = sqlx::query_file_scalar!("sql/held.sql").fetch_all(&database.pool).await?;
        Ok(held.len() == 2 && held.iter().all(|held| *held == i64::from(args.failover.div_ceil(2))))
    })
    .await?;
    let (before, start) = (now(database).await?, Instant::now());
    one.kill().await?;
    let (half, all) = (args.failover / 2, args.failover);
    connected(database, half, before).await?;
    let seconds = until("the other worker holds all sessions", async || {
        let held = sqlx::query_file_scalar!("sql/held.sql").fetch_all(&database.pool).await?;
        Ok(held.iter().sum::<i64>() == i64::from(all) && held.len() == 1)
    })
    .await?
    .saturating_duration_since(start)
    .as_secs_f64();
    other.stop().await?;
    let budget = f64::from(args.lease_seconds) + FAILOVER_SECONDS;
    Ok(Figure::new("P6", format!("kill of one of two workers, {all} sessions"), seconds, "s")
        .beside(format!("lease of {} s and 5 s", args.lease_seconds), budget, Better::Less)
        .budget(1.0))
}

/// Megabytes of one client of the bare library, with its state in memory, in a process of its own.
async fn bare(sessions: u32) -> anyhow::Result<f64> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--json", "--log", "error", "sandbox", "--pairs", "1", "--messages", "1", "--devices"])
        .arg(sessions.max(2).to_string())
        .output()
        .await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let kilobytes = report["clients"]["memory_per_device_kb"].as_f64().context("no memory in the report")?;
    Ok(kilobytes * 1024.0 / 1e6)
}

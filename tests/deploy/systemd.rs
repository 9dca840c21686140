//! The units of systemd, and what a worker tells it.

use super::files::{longest_drain, run, text};
use crate::support::db;
use crate::support::until::LIMIT;
use crate::support::world::{WAGRES, Worker, World, wagres};
use anyhow::{Context, Result, ensure};
use std::collections::VecDeque;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::process::Command;

const UNITS: [&str; 2] = ["deploy/systemd/wagres.service", "deploy/systemd/wagres-web.service"];

/// Both units in a folder, with the binary under test as their program.
fn units() -> Result<(TempDir, Vec<PathBuf>)> {
    let folder = tempfile::tempdir()?;
    let mut units = vec![];
    for unit in UNITS {
        let path = folder.path().join(unit.rsplit('/').next().context("a name")?);
        std::fs::write(&path, text(unit)?.replace("/usr/bin/wagres", WAGRES))?;
        units.push(path);
    }
    Ok((folder, units))
}

#[tokio::test]
async fn h10_systemd_accepts_the_units_and_finds_little_exposed() -> Result<()> {
    let (_folder, units) = units()?;
    let output = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units)).await?;
    ensure!(output.stderr.is_empty(), "{output:?}");
    for unit in &units {
        // In tenths: 2.0 of 10.
        let arguments = ["security", "--no-pager", "--offline=true", "--threshold=20"];
        run(Command::new("systemd-analyze").args(arguments).arg(unit)).await?;
    }
    Ok(())
}

#[test]
fn h10_systemd_waits_for_the_drain_and_the_services_run_what_the_binary_has() -> Result<()> {
    let unit = text(UNITS[0])?;
    let setting = |name: &str| unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let seconds: u64 = setting("TimeoutStopSec").context("TimeoutStopSec")?.parse()?;
    ensure!(seconds > longest_drain(), "{seconds} s, and a drain takes up to {}", longest_drain());
    ensure!(setting("Type") == Some("notify") && setting("WatchdogSec").is_some(), "{unit}");
    Ok(())
}

/// What a process told its supervisor, a line each.
struct Told {
    socket: UnixDatagram,
    lines: VecDeque<String>,
}

impl Told {
    async fn line(&mut self, wanted: &str) -> Result<()> {
        let wait = async {
            loop {
                while let Some(line) = self.lines.pop_front() {
                    if line == wanted {
                        return Ok(());
                    }
                }
                let mut bytes = [0; 1024];
                let length = self.socket.recv(&mut bytes).await?;
                self.lines.extend(std::str::from_utf8(&bytes[..length])?.lines().map(str::to_owned));
            }
        };
        tokio::time::timeout(LIMIT, wait).await.with_context(|| format!("{wanted} was not told"))?
    }
}

fn supervise(command: &mut Command, folder: &TempDir) -> Result<Told> {
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    // Fed three times in this time.
    command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "600000");
    Ok(Told { socket, lines: VecDeque::new() })
}

#[tokio::test]
async fn h10_a_worker_tells_systemd_that_it_works_waits_and_stops() -> Result<()> {
    let (db, server) = db::fresh_on_its_own().await;
    let (world, folder) = (World::on(db).await?, tempfile::tempdir()?);
    let mut command = world.worker_on(&world.db.url);
    let mut told = supervise(&mut command, &folder)?;
    let worker = Worker::start(command).await?;
    for line in ["READY=1", "WATCHDOG=1", "WATCHDOG=1"] {
        told.line(line).await?;
    }
    // It knows that the database is away, so a restart would not help.
    server.stop("immediate").await?;
    told.line("STATUS=waits for the database").await?;
    for _ in 0..4 {
        told.line("WATCHDOG=1").await?;
    }
    server.restart("immediate").await?;
    told.line("STATUS=takes work").await?;
    told.line("WATCHDOG=1").await?;
    worker.signal("TERM").await?;
    told.line("STOPPING=1").await?;
    told.line(&format!("EXTEND_TIMEOUT_USEC={}", longest_drain() * 1_000_000)).await?;
    worker.ended().await
}

#[tokio::test]
async fn h10_the_pages_tell_systemd_that_they_are_served() -> Result<()> {
    let (db, folder) = (db::fresh().await, tempfile::tempdir()?);
    let mut command = wagres();
    command.args(["web", "--json", "--listen", "127.0.0.1:0", "--database-url", &db.url]);
    command.env("WAGRES_WEB__METRICS", "127.0.0.1:0");
    let mut told = supervise(&mut command, &folder)?;
    let pages = Worker::start(command).await?;
    told.line("READY=1").await?;
    told.line("WATCHDOG=1").await?;
    let http = pages.ready["http"].as_str().context("http")?.trim_start_matches("http://");
    run(wagres().args(["health", "--live", "--at", http])).await?;
    pages.signal("TERM").await?;
    told.line("STOPPING=1").await?;
    pages.ended().await
}

//! What workers cost that have nothing to do (P11).

use crate::support::relay::Relay;
use crate::support::world::{Worker, World};
use anyhow::{Result, ensure};
use std::fs;

/// Statements of a worker in the time of one heartbeat, which is a second.
const STATEMENTS: u64 = 5;
/// How often its threads may wake in that time.
const WAKES: u64 = 150;
const BEATS: i64 = 10;

/// How often the threads of a process have gone to sleep.
fn sleeps(pid: u32) -> Result<u64> {
    let mut all = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        all += switches.map(str::trim).and_then(|many| many.parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(all)
}

/// Waits until the workers have sent so many heartbeats, and returns how many they have.
async fn beaten(world: &World, at_least: i64) -> Result<i64> {
    world
        .until(&format!(
            "SELECT beats FROM (SELECT sum(beats)::bigint AS beats FROM wa.witness) every WHERE beats >= {at_least}"
        ))
        .await
}

#[tokio::test]
async fn p11_idle_workers_ask_little_and_sleep_whatever_their_number() -> Result<()> {
    let world = World::new().await?;
    let relay = Relay::to(&world.db.url).await?;
    let mut workers: Vec<Worker> = vec![];
    for number in [1_i64, 4] {
        while workers.len() < usize::try_from(number)? {
            workers.push(Worker::start(world.worker_on(&relay.url)).await?);
        }
        // After what they do when they start.
        let began = beaten(&world, number).await?;
        let first = beaten(&world, began + 3 * number).await?;
        let before = relay.statements();
        let slept: u64 = workers.iter().map(|it| sleeps(it.pid()?)).sum::<Result<u64>>()?;
        let last = beaten(&world, first + BEATS * number).await?;
        let woken = workers.iter().map(|it| sleeps(it.pid()?)).sum::<Result<u64>>()? - slept;
        let asked = relay.statements() - before;
        let beats = (last - first).unsigned_abs();
        // Each may have sent a heartbeat less when the count began.
        let most = STATEMENTS * (beats + number.unsigned_abs());
        ensure!(asked <= most, "{number} workers: {asked} statements in {beats} heartbeats");
        ensure!(woken <= WAKES * beats, "{number} workers woke {woken} times in {beats} heartbeats");
    }
    for worker in workers {
        worker.stop().await?;
    }
    Ok(())
}

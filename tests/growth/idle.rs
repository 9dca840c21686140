//! What workers cost that have nothing to do (P11).

use crate::support::until::until;
use crate::support::world::{Worker, World};
use anyhow::{Result, ensure};
use sqlx::PgConnection;
use std::fs;

/// Statements of a worker in the time of one heartbeat, which is a second.
const STATEMENTS: i64 = 5;
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

/// Waits until the workers have sent so many heartbeats, and returns how many they have. One transaction, so that the looks of
/// the test count as one.
async fn beaten(connection: &mut PgConnection, at_least: i64) -> Result<i64> {
    let connection = tokio::sync::Mutex::new(connection);
    until("heartbeats", async || {
        let beats: i64 = sqlx::query_scalar("SELECT coalesce(sum(beats), 0)::bigint FROM wa.witness")
            .fetch_one(&mut **connection.lock().await)
            .await?;
        Ok(if beats >= at_least { Ok(beats) } else { Err(beats) })
    })
    .await
}

#[tokio::test]
async fn p11_idle_workers_ask_little_and_sleep_whatever_their_number() -> Result<()> {
    let world = World::new().await?;
    let mut workers: Vec<Worker> = vec![];
    for number in [1_i64, 4] {
        while workers.len() < usize::try_from(number)? {
            workers.push(world.worker().await?);
        }
        let transactions = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
        let mut looks = world.pool().begin().await?;
        // After what they do when they start.
        let began = beaten(&mut looks, 0).await?;
        let first = beaten(&mut looks, began + 3 * number).await?;
        let before: i64 = sqlx::query_scalar(transactions).fetch_one(world.pool()).await?;
        let slept: u64 = workers.iter().map(|it| sleeps(it.pid()?)).sum::<Result<u64>>()?;
        let last = beaten(&mut looks, first + BEATS * number).await?;
        let woken = workers.iter().map(|it| sleeps(it.pid()?)).sum::<Result<u64>>()? - slept;
        let after: i64 = sqlx::query_scalar(transactions).fetch_one(world.pool()).await?;
        looks.rollback().await?;
        let beats = last - first;
        // What each started just before the first look counts too, and what the server counts late.
        let (asked, most) = (after - before, STATEMENTS * beats + 5 * number);
        ensure!(asked <= most, "{number} workers: {asked} statements in {beats} heartbeats");
        ensure!(woken <= WAKES * beats.unsigned_abs(), "{number} workers woke {woken} times in {beats} heartbeats");
    }
    for worker in workers {
        worker.stop().await?;
    }
    Ok(())
}

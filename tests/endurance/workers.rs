//! Workers are killed while messages are on their way.

use super::load::under_load;
use crate::support::world::{Worker, World};
use anyhow::{Context, Result, ensure};
use serde_json::json;

const SESSIONS: usize = 4;

/// A worker that leaves sessions to others.
async fn worker(world: &World) -> Result<Worker> {
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_WORKER__MAX_SESSIONS", (SESSIONS - 1).to_string());
    Worker::start(command).await
}

#[tokio::test]
async fn r1_r2_workers_killed_under_load_lose_and_double_nothing() -> Result<()> {
    killed(4, 60).await
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn r1_r2_workers_killed_in_long_runs_lose_and_double_nothing() -> Result<()> {
    killed(20, 250).await
}

/// Kills one of two workers, with messages in hand, and starts another one; `kills` times, each after `between` more
/// messages each way.
async fn killed(kills: usize, between: i64) -> Result<()> {
    let world = World::new().await?;
    let mut workers = vec![worker(&world).await?, worker(&world).await?];
    under_load(&world, SESSIONS, 3, async |load| {
        for _ in 0..kills {
            load.goes_on(between).await?;
            // Of those that live: a dead one stays on the list until its lease has run out.
            let alive: Vec<String> = workers.iter().map(|it| Ok(it.pid()?.to_string())).collect::<Result<_>>()?;
            let busiest = format!(
                "SELECT w.pid FROM wa.worker w JOIN wa.lease l ON l.holder = w.worker_id JOIN wa.sending b USING (session_id)
                 WHERE cardinality(b.taken) > 0 AND w.pid IN ({}) GROUP BY w.pid ORDER BY count(*) DESC LIMIT 1",
                alive.join(", ")
            );
            let busiest = u32::try_from(world.until::<i32>(&busiest).await?)?;
            let place = workers.iter().position(|it| it.pid().is_ok_and(|pid| pid == busiest)).context("its process")?;
            workers.remove(place).kill().await?;
            workers.push(worker(&world).await?);
        }
        Ok(())
    })
    .await?;
    ensure!(world.count("SELECT count(*) FROM wa.session_job WHERE kind = 'link'").await? == i64::try_from(SESSIONS)?);
    for worker in workers {
        worker.stop().await?;
    }
    Ok(())
}

/// The library writes all ratchets at once, also that of a message whose row is still on its way. A worker killed in this
/// moment leaves a ratchet that has gone past the message, and the message nowhere.
#[tokio::test]
async fn r2_a_message_that_was_read_before_a_kill_and_kept_nowhere_is_sent_again() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    let say =
        async |text: &str| world.control.post("/phones/15550002/send", json!({ "to": "15550001", "text": text })).await;
    let pending = "FROM wa.auth_key WHERE kind = 'pending-inbound'";
    say("one").await?;
    world.holds("SELECT count(*) = 1 FROM wa.inbox").await?;
    world.holds(&format!("SELECT count(*) = 0 {pending}")).await?;

    // Nothing gets into the inbox now.
    let mut closed = world.pool().begin().await?;
    sqlx::raw_sql("LOCK TABLE wa.inbox IN SHARE MODE").execute(&mut *closed).await?;
    say("two").await?;
    world.holds(&format!("SELECT count(*) = 1 {pending}")).await?;
    // To send, ratchets are written: all of them.
    let answer = world.send("shop", "15550002", "An answer").await?;
    world.message_is(answer, "read").await?;
    world
        .holds(&format!(
            "SELECT max(updated_at) > (SELECT updated_at {pending}) FROM wa.auth_key WHERE kind = 'session'"
        ))
        .await?;
    worker.kill().await?;
    // What was on its way did not get there, and neither did the copy that is kept meanwhile.
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    ensure!(world.count(cut).await? > 0, "nothing was on its way");
    world
        .holds(
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .await?;
    ensure!(world.count(&format!("WITH gone AS (DELETE {pending} RETURNING 1) SELECT count(*) FROM gone")).await? == 1);
    closed.rollback().await?;
    ensure!(world.count("SELECT count(*) FROM wa.inbox").await? == 1);

    let worker = world.worker().await?;
    world.holds("SELECT count(*) = 2 FROM wa.inbox").await?;
    say("three").await?;
    world.holds("SELECT array_agg(body ORDER BY id) = '{one,two,three}' FROM wa.inbox").await?;
    world.control.until("/verdict", |it| (it["counts"]["pending"] == 0).then_some(())).await?;
    worker.stop().await
}

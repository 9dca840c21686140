//! A worker whose connection to Postgres ends: dead when the process is dead (P6), alive when it connects again.

use super::load::under_load;
use super::workers::{SESSIONS, all_connected_without, id_of, replace_and_return};
use crate::support::relay::Relay;
use crate::support::world::{Worker, World};
use anyhow::{Context as _, Result, ensure};
use std::time::{Duration, Instant};

/// A worker with a lease that outlasts every test.
async fn long_lived(world: &World, url: &str) -> Result<Worker> {
    let mut command = world.worker_on(url);
    command.env("WAGRES_WORKER__LEASE_SECONDS", "300");
    Worker::start(command).await
}

/// The best of three, because the machine may be busy.
#[tokio::test]
async fn p6_the_sessions_of_a_killed_worker_are_connected_on_the_other_within_five_seconds() -> Result<()> {
    let world = World::new().await?;
    let mut workers = vec![world.worker().await?, world.worker().await?];
    under_load(&world, SESSIONS, 1, async |load| {
        let mut times = vec![];
        while times.len() < 3 && times.iter().all(|time| *time > Duration::from_secs(5)) {
            load.moves(10).await?;
            let holder = "SELECT w.pid FROM wa.lease l JOIN wa.worker w ON w.worker_id = l.holder LIMIT 1";
            let pid = u32::try_from(world.until::<i32>(holder).await?)?;
            let place = workers.iter().position(|it| it.pid().is_ok_and(|own| own == pid)).context("its process")?;
            let killed = workers.remove(place);
            let elsewhere = all_connected_without(&world, killed.pid()?);
            let began = Instant::now();
            killed.kill().await?;
            elsewhere.await?;
            times.push(began.elapsed());
            workers.push(world.worker().await?);
        }
        ensure!(times.iter().any(|time| *time <= Duration::from_secs(5)), "{times:?}");
        Ok(())
    })
    .await?;
    for worker in workers {
        worker.stop().await?;
    }
    Ok(())
}

/// The worker need not know that its connection has ended, because nothing reaches it.
#[tokio::test]
async fn p6_r4_r1_a_worker_cut_off_whose_connection_has_ended_sends_nothing_while_another_holds_its_sessions()
-> Result<()> {
    let world = World::new().await?;
    let relay = Relay::to(&world.db.url).await?;
    let alone = long_lived(&world, &relay.url).await?;
    let cut = async |worker: &Worker| {
        relay.stall();
        let end =
            format!("SELECT count(pg_terminate_backend(backend_pid)) FROM wa.worker WHERE pid = {}", worker.pid()?);
        ensure!(world.count(&end).await? == 1, "the worker has no connection");
        Ok(())
    };
    let mend = async |_: &Worker| {
        relay.resume();
        Ok(())
    };
    replace_and_return(&world, alone, cut, mend).await
}

/// Its process is stopped, and the server ends the connection, as a failover would.
#[tokio::test]
async fn p6_r4_r1_a_frozen_worker_whose_connection_has_ended_sends_nothing_when_it_wakes() -> Result<()> {
    let world = World::new().await?;
    let frozen = long_lived(&world, &world.db.url).await?;
    let freeze = async |worker: &Worker| {
        worker.signal("STOP").await?;
        let end =
            format!("SELECT count(pg_terminate_backend(backend_pid)) FROM wa.worker WHERE pid = {}", worker.pid()?);
        ensure!(world.count(&end).await? == 1, "the worker has no connection");
        Ok(())
    };
    replace_and_return(&world, frozen, freeze, async |it| it.signal("CONT").await).await
}

#[tokio::test]
async fn p6_r4_a_worker_that_lives_and_lost_its_connection_alone_keeps_its_sessions() -> Result<()> {
    let world = World::new().await?;
    let worker = long_lived(&world, &world.db.url).await?;
    world.link("shop", "15550001").await?;
    let other = long_lived(&world, &world.db.url).await?;
    let before = id_of(&world, &worker).await?;
    let lost = format!(
        "WITH lost AS (SELECT backend_pid AS pid, pg_terminate_backend(backend_pid) FROM wa.worker WHERE worker_id = '{before}') SELECT pid FROM lost"
    );
    let lost = world.until::<i32>(&lost).await?;
    world.holds(&format!("SELECT backend_pid <> {lost} FROM wa.worker WHERE worker_id = '{before}'")).await?;
    // Longer than others wait for it.
    let beats = world.count("SELECT sum(beats)::bigint FROM wa.witness").await?;
    world.holds(&format!("SELECT sum(beats) > {beats} + 10 FROM wa.witness")).await?;
    ensure!(id_of(&world, &worker).await? == before, "the worker began a new life");
    ensure!(world.count(&format!("SELECT count(*) FROM wa.lease WHERE holder = '{before}' AND epoch = 1")).await? == 1);
    other.stop().await?;
    worker.stop().await
}

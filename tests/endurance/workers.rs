//! Workers are killed while messages are on their way.

use super::load::{number_of, under_load};
use crate::support::wire::Wire;
use crate::support::world::{Worker, World};
use anyhow::{Context, Result, ensure};
use serde_json::json;

const SESSIONS: usize = 4;

/// A worker that leaves sessions to others.
async fn worker(world: &World) -> Result<Worker> {
    let mut command = world.brief_worker_on(&world.db.url);
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
    killed(20, 500).await
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

/// All sessions are connected, and this worker holds none of them.
async fn left_by(world: &World, worker: &Worker) -> Result<()> {
    let pid = worker.pid()?;
    let elsewhere = format!(
        "SELECT count(*) = {SESSIONS} FROM wa.session s JOIN wa.lease l USING (session_id) JOIN wa.worker w ON w.worker_id = l.holder
         WHERE s.status = 'connected' AND w.pid <> {pid}"
    );
    world.holds(&elsewhere).await
}

/// It is on the list again, under a fresh id.
async fn begins_anew(world: &World, worker: &Worker, before: &str) -> Result<()> {
    let anew = format!("SELECT count(*) = 1 FROM wa.worker WHERE pid = {} AND worker_id <> '{before}'", worker.pid()?);
    world.holds(&anew).await
}

async fn id_of(world: &World, worker: &Worker) -> Result<String> {
    world.until(&format!("SELECT worker_id::text FROM wa.worker WHERE pid = {}", worker.pid()?)).await
}

/// The only worker goes `away`, another one takes everything over, it comes `back`, and the other one stops: under load.
async fn replaced(
    world: &World,
    worker: Worker,
    away: impl AsyncFnOnce(&Worker) -> Result<()>,
    back: impl AsyncFnOnce(&Worker) -> Result<()>,
) -> Result<()> {
    under_load(world, SESSIONS, 2, async |load| {
        load.goes_on(30).await?;
        let before = id_of(world, &worker).await?;
        away(&worker).await?;
        let other = world.worker().await?;
        left_by(world, &worker).await?;
        load.goes_on(30).await?;
        back(&worker).await?;
        begins_anew(world, &worker, &before).await?;
        load.goes_on(30).await?;
        other.stop().await?;
        load.goes_on(30).await
    })
    .await?;
    worker.stop().await
}

/// Awake again, it finds everything as it was in its memory: sockets, keys, messages in hand.
#[tokio::test]
async fn r4_r1_a_worker_that_is_frozen_past_its_lease_and_wakes_up_sends_and_writes_nothing_more() -> Result<()> {
    let world = World::new().await?;
    let frozen = Worker::start(world.brief_worker_on(&world.db.url)).await?;
    replaced(&world, frozen, async |it| it.signal("STOP").await, async |it| it.signal("CONT").await).await
}

#[tokio::test]
async fn r4_r1_a_worker_that_is_cut_off_from_the_database_leaves_its_sessions_before_others_take_them() -> Result<()> {
    let world = World::new().await?;
    let wire = Wire::to(&world.db.url).await?;
    let alone = Worker::start(world.brief_worker_on(&wire.url)).await?;
    let cut = async |_: &Worker| {
        wire.cut();
        // By its own clock: nobody can tell it.
        world.control.until("/stats", |it| (it["connected_devices"] == 0).then_some(())).await
    };
    let mend = async |_: &Worker| {
        wire.mend();
        Ok(())
    };
    replaced(&world, alone, cut, mend).await
}

#[tokio::test]
async fn s4_s10_a_worker_that_stops_leaves_nothing_undone_and_the_next_one_restores_all() -> Result<()> {
    let world = World::new().await?;
    let mut workers = vec![world.worker().await?];
    under_load(&world, SESSIONS, 2, async |load| {
        for asked_by_a_row in [false, true, false] {
            load.goes_on(30).await?;
            let worker = workers.remove(0);
            if asked_by_a_row {
                ensure!(world.count("SELECT count(wa.drain_worker(worker_id)) FROM wa.worker").await? == 1);
                worker.ended().await?;
            } else {
                worker.stop().await?;
            }
            let undone = "SELECT (SELECT count(*) FROM wa.worker) + (SELECT count(*) FROM wa.lease WHERE holder IS NOT NULL)
                + (SELECT count(*) FROM wa.sending WHERE taken <> '{}') + (SELECT count(*) FROM wa.session_job WHERE status = 'running')
                + (SELECT count(*) FROM wa.session WHERE status <> 'disconnected' OR status_reason <> 'the worker stopped')";
            ensure!(world.count(undone).await? == 0, "it left something behind");
            // What a worker that was killed would have left.
            let stale = "SET session_replication_role = replica; UPDATE wa.session SET status = 'connecting' WHERE name <> 's1'";
            sqlx::raw_sql(stale).execute(&mut world.pool().acquire().await?.detach()).await?;
            workers.push(world.worker().await?);
            world.holds(&format!("SELECT count(*) = {SESSIONS} FROM wa.session WHERE status = 'connected'")).await?;
        }
        load.goes_on(30).await
    })
    .await?;
    workers.remove(0).stop().await
}

/// A message on its way that gets lost, so that nobody says anything about it.
async fn on_its_way(world: &World, session: &str) -> Result<i64> {
    world.phone("15559999").await?;
    let lose = json!({ "fault": { "lose": {} }, "stanza": "message", "direction": "in", "times": "always" });
    world.control.post("/faults", lose).await?;
    let id = world.send(session, "15559999", "Hello").await?;
    world.control.until("/faults", |it| (it["faults"][0]["struck"] == 1).then_some(())).await?;
    Ok(id)
}

#[tokio::test]
async fn s10_what_does_not_come_through_in_time_goes_back_and_is_sent_again_under_its_id() -> Result<()> {
    let world = World::new().await?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_WORKER__DRAIN_SECONDS", "1");
    let worker = Worker::start(command).await?;
    world.link("s1", "15550001").await?;
    let id = on_its_way(&world, "s1").await?;
    worker.stop().await?;
    let back = "SELECT status = 'queued' AND live FROM wa.outbound";
    ensure!(world.until::<bool>(back).await?, "it did not go back");
    let faults = world.control.get("/faults").await?;
    world.control.request("DELETE", &format!("/faults/{}", faults["faults"][0]["id"]), None).await?;
    let worker = world.worker().await?;
    world.holds(&format!("SELECT sent_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
    let seen = world.seen_by("15559999").await?;
    ensure!(seen == ["Hello"], "{seen:?}");
    worker.stop().await
}

#[tokio::test]
async fn r4_s10_a_worker_that_loses_its_lease_while_it_stops_leaves_its_sessions() -> Result<()> {
    let world = World::new().await?;
    let wire = Wire::to(&world.db.url).await?;
    let mut command = world.brief_worker_on(&wire.url);
    command.env("WAGRES_WORKER__DRAIN_SECONDS", "600").env("WAGRES_WORKER__ACK_TIMEOUT_SECONDS", "600");
    let worker = Worker::start(command).await?;
    world.link("s1", "15550001").await?;
    on_its_way(&world, "s1").await?;
    worker.signal("TERM").await?;
    world.holds("SELECT draining FROM wa.worker").await?;
    wire.cut();
    world.control.until("/stats", |it| (it["connected_devices"] == 0).then_some(())).await?;
    worker.ended().await
}

#[tokio::test]
async fn s10_a_second_signal_ends_a_worker_at_once() -> Result<()> {
    let world = World::new().await?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_WORKER__DRAIN_SECONDS", "600").env("WAGRES_WORKER__ACK_TIMEOUT_SECONDS", "600");
    let worker = Worker::start(command).await?;
    world.link("s1", "15550001").await?;
    on_its_way(&world, "s1").await?;
    worker.signal("TERM").await?;
    world.holds("SELECT draining FROM wa.worker").await?;
    worker.signal("TERM").await?;
    ensure!(worker.code().await? == Some(130));
    Ok(())
}

/// WhatsApp restarts, say. Each is connected again by a row of its own, and no message is lost.
#[tokio::test]
async fn s5_r1_sessions_that_are_all_dropped_at_once_come_back() -> Result<()> {
    dropped(12).await
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn s5_r1_sessions_that_are_all_dropped_at_once_in_long_lists_come_back() -> Result<()> {
    dropped(200).await
}

async fn dropped(sessions: usize) -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    under_load(&world, sessions, 1, async |load| {
        load.goes_on(20).await?;
        let drop = async |n| world.control.post(&format!("/devices/{}/1/drop", number_of(n)), json!({})).await;
        futures::future::try_join_all((1..=sessions).map(drop)).await?;
        let again = "SELECT count(DISTINCT session_id) FROM wa.session_job WHERE kind = 'reconnect' AND reason NOT LIKE '%linking%'";
        world.holds(&format!("SELECT ({again}) = {sessions}")).await?;
        world.holds(&format!("SELECT count(*) = {sessions} FROM wa.session WHERE status = 'connected'")).await?;
        load.goes_on(20).await
    })
    .await?;
    let twice = "SELECT count(*) FROM (SELECT FROM wa.session_job WHERE status IN ('queued', 'running') GROUP BY session_id HAVING count(*) > 1) AS twice";
    ensure!(world.count(twice).await? == 0);
    worker.stop().await
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
    world.kill(worker).await?;
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

//! Workers are killed, frozen, cut off and stopped under load.

use super::load::{number_of, under_load};
use crate::support::relay::Relay;
use crate::support::world::{Worker, World};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use sqlx::AssertSqlSafe;

pub(super) const SESSIONS: usize = 4;

/// A worker that cannot hold all sessions, so that two are needed.
async fn small_worker(world: &World) -> Result<Worker> {
    let mut command = world.brief_worker_on(&world.db.url);
    command.env("WAGRES_WORKER__MAX_SESSIONS", (SESSIONS - 1).to_string());
    Worker::start(command).await
}

#[tokio::test]
async fn r1_r2_workers_killed_under_load_lose_and_double_nothing() -> Result<()> {
    kill_workers(4, 60).await
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn r1_r2_workers_killed_in_long_runs_lose_and_double_nothing() -> Result<()> {
    kill_workers(20, 500).await
}

/// `kills` times, each after `between` more messages each way: kills one of two workers while it has messages in hand, and
/// starts another.
async fn kill_workers(kills: usize, between: i64) -> Result<()> {
    let world = World::new().await?;
    let mut workers = vec![small_worker(&world).await?, small_worker(&world).await?];
    under_load(&world, SESSIONS, 3, async |load| {
        for _ in 0..kills {
            load.moves(between).await?;
            // Only live ones: a dead worker stays in wa.worker until its lease has expired.
            let alive: Vec<String> = workers.iter().map(|it| Ok(it.pid()?.to_string())).collect::<Result<_>>()?;
            let busiest = format!(
                "SELECT w.pid FROM wa.worker w JOIN wa.lease l ON l.holder = w.worker_id JOIN wa.sending b USING (session_id)
                 WHERE cardinality(b.taken) > 0 AND w.pid IN ({}) GROUP BY w.pid ORDER BY count(*) DESC LIMIT 1",
                alive.join(", ")
            );
            let busiest = u32::try_from(world.until::<i32>(&busiest).await?)?;
            let place = workers.iter().position(|it| it.pid().is_ok_and(|pid| pid == busiest)).context("its process")?;
            workers.remove(place).kill().await?;
            workers.push(small_worker(&world).await?);
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

/// How many receipts a `kill -9` loses: those that were acknowledged to WhatsApp and not written. `docs/messages.md` has the
/// numbers of a run.
#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn r2_receipts_lost_by_kills_in_long_runs_are_those_of_a_moment() -> Result<()> {
    const KILLS: usize = 20;
    const MESSAGES: i64 = 4000;
    let world = World::new().await?;
    let mut worker = Worker::start(world.brief_worker_on(&world.db.url)).await?;
    world.link("shop", "15550001").await?;
    for n in 0..3 {
        world.phone(&format!("1555100{n}")).await?;
    }
    let (mut lost, mut in_the_middle) = (vec![], 0);
    for kill in 0..KILLS {
        let insert = format!(
            "INSERT INTO wa.outbound (session, recipient, body)
             SELECT 'shop', '1555100' || n % 3, 'of {kill}' FROM generate_series(1, {MESSAGES}) n"
        );
        sqlx::query(AssertSqlSafe(insert)).execute(world.pool()).await?;
        let of_run = format!("FROM wa.outbound WHERE body = 'of {kill}'");
        world.holds(&format!("SELECT count(delivered_at) > 100 {of_run}")).await?;
        world.kill(worker).await?;
        // Receipts were arriving when it was killed.
        in_the_middle += usize::from(world.count(&format!("SELECT count(delivered_at) {of_run}")).await? < MESSAGES);
        worker = Worker::start(world.brief_worker_on(&world.db.url)).await?;
        world.holds(&format!("SELECT count(sent_at) = {MESSAGES} {of_run}")).await?;
        // The receipt for the last message of each chat comes after those for the others.
        for n in 0..3 {
            let end = world.send("shop", &format!("1555100{n}"), "last").await?;
            world.holds(&format!("SELECT delivered_at IS NOT NULL FROM wa.outbound WHERE id = {end}")).await?;
        }
        lost.push(world.count(&format!("SELECT count(*) - count(delivered_at) {of_run}")).await?);
    }
    let (all, most) = (lost.iter().sum::<i64>(), lost.iter().max().copied().unwrap_or_default());
    eprintln!("{in_the_middle} kills of {KILLS} among receipts lost {all}, {most} at most in one: {lost:?}");
    ensure!(in_the_middle > KILLS / 2, "only {in_the_middle} kills came among receipts");
    ensure!(most <= 100, "a kill lost more than the receipts of a moment: {lost:?}");
    worker.stop().await
}

/// Waits until all sessions are connected and the worker with this process id holds none of them.
pub(super) async fn all_connected_without(world: &World, pid: u32) -> Result<()> {
    let elsewhere = format!(
        "SELECT count(*) = {SESSIONS} FROM wa.session s JOIN wa.lease l USING (session_id) JOIN wa.worker w ON w.worker_id = l.holder
         WHERE s.status = 'connected' AND w.pid <> {pid}"
    );
    world.holds(&elsewhere).await
}

/// Waits until the worker is registered again, under a new id.
async fn registers_again(world: &World, worker: &Worker, before: &str) -> Result<()> {
    let registered =
        format!("SELECT count(*) = 1 FROM wa.worker WHERE pid = {} AND worker_id <> '{before}'", worker.pid()?);
    world.holds(&registered).await
}

pub(super) async fn id_of(world: &World, worker: &Worker) -> Result<String> {
    world.until(&format!("SELECT worker_id::text FROM wa.worker WHERE pid = {}", worker.pid()?)).await
}

/// Under load, the only worker goes `away`, another takes over everything, the first comes `back`, and the other stops.
pub(super) async fn replace_and_return(
    world: &World,
    worker: Worker,
    away: impl AsyncFnOnce(&Worker) -> Result<()>,
    back: impl AsyncFnOnce(&Worker) -> Result<()>,
) -> Result<()> {
    under_load(world, SESSIONS, 2, async |load| {
        load.moves(30).await?;
        let before = id_of(world, &worker).await?;
        away(&worker).await?;
        let other = world.worker().await?;
        all_connected_without(world, worker.pid()?).await?;
        load.moves(30).await?;
        back(&worker).await?;
        registers_again(world, &worker, &before).await?;
        load.moves(30).await?;
        other.stop().await?;
        load.moves(30).await
    })
    .await?;
    worker.stop().await
}

/// When it wakes, its memory is unchanged: sockets, keys, messages in hand.
#[tokio::test]
async fn r4_r1_a_worker_frozen_past_its_lease_sends_and_writes_nothing_when_it_wakes() -> Result<()> {
    let world = World::new().await?;
    let frozen = Worker::start(world.brief_worker_on(&world.db.url)).await?;
    replace_and_return(&world, frozen, async |it| it.signal("STOP").await, async |it| it.signal("CONT").await).await
}

#[tokio::test]
async fn r4_r1_a_worker_cut_off_from_the_database_disconnects_before_others_take_over() -> Result<()> {
    let world = World::new().await?;
    let relay = Relay::to(&world.db.url).await?;
    let alone = Worker::start(world.brief_worker_on(&relay.url)).await?;
    let cut = async |_: &Worker| {
        relay.stall();
        // It must notice by its own clock, because nothing reaches it.
        world.control.until("/stats", |it| (it["connected_devices"] == 0).then_some(())).await
    };
    let mend = async |_: &Worker| {
        relay.resume();
        Ok(())
    };
    replace_and_return(&world, alone, cut, mend).await
}

#[tokio::test]
async fn s4_s10_a_stopped_worker_leaves_nothing_undone_and_the_next_one_connects_all() -> Result<()> {
    let world = World::new().await?;
    let mut workers = vec![world.worker().await?];
    under_load(&world, SESSIONS, 2, async |load| {
        for drained_by_sql in [false, true, false] {
            load.moves(30).await?;
            let worker = workers.remove(0);
            if drained_by_sql {
                ensure!(world.count("SELECT count(wa.drain_worker(worker_id)) FROM wa.worker").await? == 1);
                worker.ended().await?;
            } else {
                worker.stop().await?;
            }
            let undone = "SELECT (SELECT count(*) FROM wa.worker) + (SELECT count(*) FROM wa.lease WHERE holder IS NOT NULL)
                + (SELECT count(*) FROM wa.sending WHERE taken <> '{}') + (SELECT count(*) FROM wa.session_job WHERE status = 'running')
                + (SELECT count(*) FROM wa.session WHERE status <> 'disconnected' OR status_reason <> 'the worker stopped')";
            ensure!(world.count(undone).await? == 0, "the stopped worker left something undone");
            // The state that a killed worker leaves.
            let stale = "SET session_replication_role = replica; UPDATE wa.session SET status = 'connecting' WHERE name <> 's1'";
            sqlx::raw_sql(stale).execute(&mut world.pool().acquire().await?.detach()).await?;
            workers.push(world.worker().await?);
            world.holds(&format!("SELECT count(*) = {SESSIONS} FROM wa.session WHERE status = 'connected'")).await?;
        }
        load.moves(30).await
    })
    .await?;
    workers.remove(0).stop().await
}

/// Sends a message that the server loses, so that it stays unacknowledged; returns its id.
async fn send_unacknowledged(world: &World, session: &str) -> Result<i64> {
    world.phone("15559999").await?;
    let lose = json!({ "fault": { "lose": {} }, "stanza": "message", "direction": "in", "times": "always" });
    world.control.post("/faults", lose).await?;
    let id = world.send(session, "15559999", "Hello").await?;
    world.control.until("/faults", |it| (it["faults"][0]["struck"] == 1).then_some(())).await?;
    Ok(id)
}

#[tokio::test]
async fn s10_an_unacknowledged_message_is_released_at_the_drain_limit_and_sent_again_under_its_id() -> Result<()> {
    let world = World::new().await?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_WORKER__DRAIN_SECONDS", "1");
    let worker = Worker::start(command).await?;
    world.link("s1", "15550001").await?;
    let id = send_unacknowledged(&world, "s1").await?;
    worker.stop().await?;
    let back =
        "SELECT o.status = 'queued' AND q.waits_for IS NULL FROM wa.outbound o JOIN wa.outbound_queue q USING (id)";
    ensure!(world.until::<bool>(back).await?, "the message was not released");
    let faults = world.control.get("/faults").await?;
    world.control.request("DELETE", &format!("/faults/{}", faults["faults"][0]["id"]), None).await?;
    let worker = world.worker().await?;
    world.holds(&format!("SELECT sent_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
    let seen = world.seen_by("15559999").await?;
    ensure!(seen == ["Hello"], "{seen:?}");
    worker.stop().await
}

#[tokio::test]
async fn r4_s10_a_worker_that_loses_its_lease_while_draining_disconnects_its_sessions() -> Result<()> {
    let world = World::new().await?;
    let relay = Relay::to(&world.db.url).await?;
    let mut command = world.brief_worker_on(&relay.url);
    command.env("WAGRES_WORKER__DRAIN_SECONDS", "600").env("WAGRES_WORKER__ACK_TIMEOUT_SECONDS", "600");
    let worker = Worker::start(command).await?;
    world.link("s1", "15550001").await?;
    send_unacknowledged(&world, "s1").await?;
    worker.signal("TERM").await?;
    world.holds("SELECT draining FROM wa.worker").await?;
    relay.stall();
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
    send_unacknowledged(&world, "s1").await?;
    worker.signal("TERM").await?;
    world.holds("SELECT draining FROM wa.worker").await?;
    worker.signal("TERM").await?;
    ensure!(worker.code().await? == Some(130));
    Ok(())
}

/// As when WhatsApp restarts: each session reconnects by a row of its own, and no message is lost.
#[tokio::test]
async fn s5_r1_sessions_dropped_all_at_once_reconnect() -> Result<()> {
    drop_all(12).await
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn s5_r1_sessions_dropped_all_at_once_in_long_lists_reconnect() -> Result<()> {
    drop_all(200).await
}

async fn drop_all(sessions: usize) -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    under_load(&world, sessions, 1, async |load| {
        load.moves(20).await?;
        let drop = async |n| world.control.post(&format!("/devices/{}/1/drop", number_of(n)), json!({})).await;
        futures::future::try_join_all((1..=sessions).map(drop)).await?;
        let again = "SELECT count(DISTINCT session_id) FROM wa.session_job WHERE kind = 'reconnect' AND reason NOT LIKE '%linking%'";
        world.holds(&format!("SELECT ({again}) = {sessions}")).await?;
        world.holds(&format!("SELECT count(*) = {sessions} FROM wa.session WHERE status = 'connected'")).await?;
        load.moves(20).await
    })
    .await?;
    let twice = "SELECT count(*) FROM (SELECT FROM wa.session_job WHERE status IN ('queued', 'running') GROUP BY session_id HAVING count(*) > 1) AS twice";
    ensure!(world.count(twice).await? == 0);
    worker.stop().await
}

/// The library writes all ratchets at once, including that of a message whose row is not yet committed. A worker killed at
/// that moment leaves a ratchet that has passed the message, and no copy of the message.
#[tokio::test]
async fn r2_a_message_decrypted_before_a_kill_and_stored_nowhere_is_sent_again() -> Result<()> {
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

    // The lock keeps new rows out of the inbox.
    let mut closed = world.pool().begin().await?;
    sqlx::raw_sql("LOCK TABLE wa.inbox IN SHARE MODE").execute(&mut *closed).await?;
    say("two").await?;
    world.holds(&format!("SELECT count(*) = 1 {pending}")).await?;
    // Sending writes all ratchets.
    let answer = world.send("shop", "15550002", "An answer").await?;
    world.message_is(answer, "read").await?;
    world
        .holds(&format!(
            "SELECT max(updated_at) > (SELECT updated_at {pending}) FROM wa.auth_key WHERE kind = 'session'"
        ))
        .await?;
    world.kill(worker).await?;
    // The blocked insert is ended, and the library's own copy of the message is deleted.
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    ensure!(world.count(cut).await? > 0, "no insert was blocked");
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

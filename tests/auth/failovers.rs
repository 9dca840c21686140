//! Failovers that lose the newest commits (R7, R12): what may happen before all workers know of it.

use super::copies::{DEVICE, FRIEND, links, no_key_was_used_twice, talks};
use crate::support::db;
use crate::support::linked::until_connected;
use crate::support::relay::Relay;
use crate::support::until::until;
use crate::support::world::{Worker, World};
use anyhow::{Result, ensure};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

const REASON: &str = "the server failed over, or was recovered to an earlier moment";
const DETECT: &str = "SELECT reason FROM wa.detect_restore('00000000-0000-0000-0000-000000000001', NULL, NULL)";

/// The newest counters of a session are lost, and its connection is lost at the same time. No heartbeat notices the failover:
/// here because a lock keeps them from being written.
#[tokio::test]
async fn r12_r1_r7_no_session_connects_between_a_failover_and_the_heartbeat_that_notices_it() -> Result<()> {
    let (db, server) = db::fresh_on_its_own().await;
    let world = World::on(db).await?;
    let relay = Relay::to(&world.db.url).await?;
    let mut command = world.worker_on(&relay.url);
    // With a connection of its own it would log in only after a heartbeat.
    command.env("WAGRES_DATABASE_POOLER", "true").env("WAGRES_WORKER__LEASE_SECONDS", "300");
    let worker = Worker::start(command).await?;
    links(&world).await?;
    server.snapshot().await?;
    for n in 0..3 {
        talks(&world, &format!("lost {n}")).await?;
    }
    relay.stall();
    world.control.post(&format!("/devices/{DEVICE}/1/drop"), json!({})).await?;
    server.roll_back().await?;
    server.promote().await?;
    let mut locking = world.pool().begin().await?;
    sqlx::raw_sql("LOCK TABLE wa.worker IN SHARE MODE").execute(&mut *locking).await?;
    relay.resume();
    // Every statement that connects had its turn, and heartbeats were tried.
    let due = "SELECT count(*) > 0 FROM wa.session_job WHERE kind = 'reconnect' AND status IN ('queued', 'running') AND run_at < now()";
    world.holds(due).await?;
    let failed = async || server.logged("lock timeout").await;
    let before = failed().await?;
    until("heartbeats that fail", async || {
        let count = failed().await? - before;
        Ok(if count >= 2 { Ok(()) } else { Err(count) })
    })
    .await?;
    let devices = world.control.get("/stats").await?;
    ensure!(devices["connected_devices"] == 0, "the session connected with keys that were used: {devices}");
    locking.rollback().await?;
    // As if the time had passed in which others with such a lease stop.
    world.holds("SELECT reason IS NOT NULL FROM wa.auth_home").await?;
    sqlx::query("UPDATE wa.auth_home SET free_at = now()").execute(world.pool()).await?;

    until_connected(&world.control, DEVICE, true).await?;
    talks(&world, "after").await?;
    let reset =
        format!("SELECT count(*) = 1 FROM wa.event WHERE kind = 'ratchets_reset' AND data->>'reason' = '{REASON}'");
    world.holds(&reset).await?;
    no_key_was_used_twice(&world).await?;
    worker.stop().await
}

/// A worker that is cut off may send for the session until its own clock stops it.
#[tokio::test]
async fn r12_r4_no_session_changes_hands_after_a_failover_before_others_have_stopped() -> Result<()> {
    let (db, server) = db::fresh_on_its_own().await;
    let world = World::on(db).await?;
    let relay = Relay::to(&world.db.url).await?;
    let long_lived = |url: &str| {
        let mut command = world.worker_on(url);
        command.env("WAGRES_WORKER__LEASE_SECONDS", "300");
        command
    };
    let cut_off = Worker::start(long_lived(&relay.url)).await?;
    links(&world).await?;
    let other = Worker::start(long_lived(&world.db.url)).await?;
    relay.stall();
    server.promote().await?;
    world.holds("SELECT l.taken_at >= k.seen_at + interval '3 seconds' FROM wa.lease l, wa.auth_home k WHERE k.reason IS NOT NULL AND l.epoch >= k.first_epoch").await?;
    talks(&world, "after").await?;
    relay.resume();
    no_key_was_used_twice(&world).await?;
    ensure!(world.seen_by(FRIEND).await?.iter().filter(|it| *it == "after").count() == 1);
    cut_off.stop().await?;
    other.stop().await
}

/// A registered worker, and a session that is free, with a job that connects it.
async fn free_session(pool: &PgPool) -> Result<(Uuid, i64)> {
    let prepare = format!(
        "{DETECT}; SELECT wa.add_session('shop');
         UPDATE wa.session SET jid = '1:1@s.whatsapp.net', desired = 'connected', status = 'disconnected';
         INSERT INTO wa.session_job (session, kind) VALUES ('shop', 'connect')"
    );
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(pool).await?;
    let register = "INSERT INTO wa.worker (worker_id, host, pid, version, lease_until, home)
                    SELECT gen_random_uuid(), 'here', 1, 'test', now() + interval '20 seconds', home FROM wa.auth_home RETURNING worker_id";
    let worker = sqlx::query_scalar(register).fetch_one(pool).await?;
    let job = sqlx::query_scalar("SELECT id FROM wa.session_job WHERE status = 'queued'").fetch_one(pool).await?;
    Ok((worker, job))
}

/// Whether the session's lease is taken: by adopting it, and by claiming its job.
async fn is_taken(pool: &PgPool, worker: Uuid, job: i64) -> Result<[bool; 2]> {
    let mut taken = [false; 2];
    for (place, taken) in taken.iter_mut().enumerate() {
        let mut transaction = pool.begin().await?;
        if place == 0 {
            let adopt = sqlx::query(include_str!("../../sql/session/adopt.sql")).bind(worker).bind(200_i64);
            adopt.execute(&mut *transaction).await?;
        } else {
            let claim =
                sqlx::query(include_str!("../../sql/jobs/claim_session.sql")).bind(worker).bind([job].as_slice());
            claim.execute(&mut *transaction).await?;
        }
        let held = "SELECT holder IS NOT NULL FROM wa.lease";
        *taken = sqlx::query_scalar(held).fetch_one(&mut *transaction).await?;
        transaction.rollback().await?;
    }
    Ok(taken)
}

#[tokio::test]
async fn r12_s3_no_lease_is_taken_between_a_failover_and_the_stop_of_those_who_held_it() -> Result<()> {
    let db = db::fresh().await;
    let (worker, job) = free_session(&db.pool).await?;
    ensure!(is_taken(&db.pool, worker, job).await? == [true, true], "a free session was not taken");
    sqlx::query("UPDATE wa.auth_home SET timeline = 7").execute(&db.pool).await?;
    ensure!(is_taken(&db.pool, worker, job).await? == [false, false], "taken before anybody noticed the failover");
    let found: Option<String> = sqlx::query_scalar(DETECT).fetch_one(&db.pool).await?;
    ensure!(found.as_deref() == Some(REASON), "{found:?}");
    ensure!(is_taken(&db.pool, worker, job).await? == [false, false], "taken while its last holder may send");
    // Of a worker whose connection nobody sees, the lease counts.
    let free_in = "SELECT extract(epoch FROM free_at - seen_at)::float8 FROM wa.auth_home";
    let seconds: f64 = sqlx::query_scalar(free_in).fetch_one(&db.pool).await?;
    ensure!((20.0..21.0).contains(&seconds), "{seconds}");
    sqlx::query("UPDATE wa.auth_home SET free_at = now()").execute(&db.pool).await?;
    ensure!(is_taken(&db.pool, worker, job).await? == [true, true], "not taken when all have stopped");
    Ok(())
}

//! R11: what the database says is a worker's and the worker does not have in hand is resumed or given back.

use anyhow::{Result, ensure};
use serde_json::json;
use sqlx::AssertSqlSafe;
use std::sync::Arc;
use wagres::db::fence::Fence;
use wagres::db::outage::is_busy;
use wagres::jobs::in_hand::InHand;
use wagres::jobs::record::Record as _;
use wagres::jobs::session_work::SessionWork;
use wagres::jobs::{JobError, SessionJob};
use wagres::session::jobs::Recorder;

use crate::support::db::{self, TestDb};
use crate::support::linked::until_connected;
use crate::support::poison::refuse_first;
use crate::support::relay::Relay;
use crate::support::until::until;
use crate::support::world::{Worker, World};

async fn run(world: &World, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(world.pool()).await?;
    Ok(())
}

async fn closed(world: &World, session: &str) -> Result<()> {
    run(world, &format!("SELECT wa.close('{session}')")).await?;
    world.holds(&format!("SELECT holder IS NULL FROM wa.lease WHERE session_id = wa.session_id('{session}')")).await
}

/// The claim takes a free lease and the job with it; the worker learns of neither.
#[tokio::test]
async fn r11_a_session_job_whose_claim_is_not_answered_runs_again() -> Result<()> {
    let world = World::new().await?;
    let relay = Relay::to(&world.db.url).await?;
    let worker = Worker::start(world.worker_on(&relay.url)).await?;
    world.link("shop", "15550001").await?;
    closed(&world, "shop").await?;
    relay.lose_answer_to("Claims the jobs $2 that change a connection");
    run(&world, "SELECT wa.connect('shop')").await?;
    relay.answer_is_lost().await?;
    world.session_is("shop", "connected").await?;
    world.holds("SELECT status = 'done' AND attempts = 2 FROM wa.session_job WHERE kind = 'connect'").await?;
    world.holds("SELECT count(*) = 1 FROM wa.worker").await?;
    worker.stop().await
}

#[tokio::test]
async fn r11_a_session_job_whose_outcome_is_refused_runs_again() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    refuse_first(world.pool(), 1, "session_job", "NEW.kind = 'list_groups' AND NEW.status = 'done'", "P0001").await?;
    run(&world, "SELECT wa.act('shop', 'list_groups')").await?;
    world.holds("SELECT status = 'done' AND attempts = 2 FROM wa.session_job WHERE kind = 'list_groups'").await?;
    worker.stop().await
}

/// A connect job that is out of attempts leaves its lease held; the session's wish still counts.
#[tokio::test]
async fn r11_a_session_whose_connect_job_has_failed_is_connected_again() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    closed(&world, "shop").await?;
    refuse_first(world.pool(), 5, "session", "NEW.status = 'connecting'", "P0001").await?;
    run(&world, "SELECT wa.connect('shop')").await?;
    for attempts in 1..5 {
        let waits = "SELECT status = 'queued' FROM wa.session_job WHERE kind = 'connect'";
        world.holds(&format!("{waits} AND attempts = {attempts}")).await?;
        run(&world, "UPDATE wa.session_job SET run_at = now() WHERE status = 'queued'").await?;
    }
    world.holds("SELECT status = 'failed' AND attempts = 5 FROM wa.session_job WHERE kind = 'connect'").await?;
    world.session_is("shop", "connected").await?;
    world
        .holds("SELECT reason = 'nothing was left of its last connection' FROM wa.session_job ORDER BY id DESC LIMIT 1")
        .await?;
    worker.stop().await
}

#[tokio::test]
async fn r11_a_lease_that_nobody_needs_is_released() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    closed(&world, "shop").await?;
    // As a release leaves it whose statement was refused.
    run(&world, "UPDATE wa.lease SET holder = (SELECT worker_id FROM wa.worker), epoch = epoch + 1").await?;
    world.holds("SELECT holder IS NULL FROM wa.lease").await?;
    world.session_is("shop", "stopped").await?;
    worker.stop().await
}

/// The socket of a session whose lease is gone closes, although nothing writes under the lost epoch.
#[tokio::test]
async fn r11_a_connection_whose_lease_is_gone_is_cut() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    run(&world, "UPDATE wa.session SET desired = 'stopped'; UPDATE wa.lease SET holder = NULL").await?;
    until_connected(&world.control, "15550001", false).await?;
    worker.stop().await
}

/// A session whose reconnect waits for its hour, and one that is connected, are in hand.
#[tokio::test]
async fn r11_a_session_that_waits_is_left_alone() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.link("cafe", "15550002").await?;
    let since: String = world.until("SELECT connected_at::text FROM wa.session WHERE name = 'shop'").await?;
    let refuse = json!({ "fault": { "refuse": {} }, "times": "always" });
    world.control.post("/faults", refuse).await?;
    world.control.post("/devices/15550002/1/drop", json!({})).await?;
    let later =
        "UPDATE wa.session_job SET run_at = now() + interval '1 hour' WHERE session = 'cafe' AND status = 'queued'";
    until("a reconnect that waits", async || {
        Ok(if sqlx::query(later).execute(world.pool()).await?.rows_affected() == 1 { Ok(()) } else { Err("none") })
    })
    .await?;
    let beats: i64 = world.until("SELECT beats FROM wa.witness").await?;
    world.holds(&format!("SELECT beats > {beats} + 4 FROM wa.witness")).await?;
    let resumed = "SELECT count(*) FROM wa.session_job WHERE reason = 'nothing was left of its last connection'";
    ensure!(world.count(resumed).await? == 0, "a session in hand was resumed");
    world.holds(&format!("SELECT connected_at = '{since}' FROM wa.session WHERE name = 'shop'")).await?;
    world.holds("SELECT holder IS NOT NULL FROM wa.lease WHERE session_id = wa.session_id('cafe')").await?;
    worker.stop().await
}

/// A job of the session `shop` in its last attempt, and who runs it.
async fn last_attempt() -> Result<(TestDb, Recorder, SessionJob, InHand)> {
    let db = db::fresh().await;
    sqlx::raw_sql(
        "SELECT wa.add_session('shop'); INSERT INTO wa.session_job (session, kind) VALUES ('shop', 'connect')",
    )
    .execute(&db.pool)
    .await?;
    let (worker_id, id, session_id): (uuid::Uuid, i64, i64) = sqlx::query_as(
        "WITH worker AS (
             INSERT INTO wa.worker (worker_id, host, pid, version, lease_until)
             VALUES (gen_random_uuid(), 'here', 1, 'test', now() + interval '1 hour') RETURNING worker_id
         )
         UPDATE wa.session_job j SET status = 'running', attempts = 5, worker_id = w.worker_id
         FROM worker w RETURNING w.worker_id, j.id, j.session_id",
    )
    .fetch_one(&db.pool)
    .await?;
    let in_hand = InHand::default();
    let job = SessionJob {
        fence: Fence { session_id, epoch: 1 },
        id,
        session: "shop".into(),
        kind: "connect".into(),
        work: Ok(SessionWork::Connect),
        reason: None,
        attempts: 5,
        scheduled: false,
        hand: in_hand.take(id),
    };
    let recorder = Recorder { pool: db.pool.clone().into(), worker_id, place_freed: Arc::default() };
    Ok((db, recorder, job, in_hand))
}

async fn left(db: &TestDb) -> Result<String> {
    let row = "SELECT concat_ws(' ', status, attempts, worker_id) FROM wa.session_job";
    Ok(sqlx::query_scalar(row).fetch_one(&db.pool).await?)
}

/// Nothing was tried, so a job may be released as often as its session changes hands.
#[tokio::test]
async fn r11_a_released_session_job_counts_no_attempt() -> Result<()> {
    let (db, recorder, job, _) = last_attempt().await?;
    recorder.record(job, Err(JobError::Release("the hold is lost".into()))).await;
    let left = left(&db).await?;
    ensure!(left == "queued 4", "{left}");
    Ok(())
}

/// The outcome waits beside the next job, and the job is not given back meanwhile.
#[tokio::test]
async fn r8_r11_a_job_stays_in_hand_while_an_application_holds_up_its_outcome() -> Result<()> {
    let (db, recorder, job, in_hand) = last_attempt().await?;
    let id = job.id;
    let mut app = db.pool.begin().await?;
    sqlx::query("SELECT wa.pause('shop')").execute(&mut *app).await?;
    recorder.record(job, Err(JobError::Release("the session is locked".into()))).await;
    ensure!(in_hand.has(id), "an outcome that is not written is forgotten");
    app.rollback().await?;
    until("the outcome", async || {
        let left = left(&db).await?;
        Ok(if left == "queued 4" { Ok(()) } else { Err(left) })
    })
    .await?;
    until("an empty hand", async || Ok(if in_hand.has(id) { Err("still there") } else { Ok(()) })).await
}

/// All jobs of a worker are given back one after the other while it claims nothing, so none may wait.
#[tokio::test]
async fn r8_r11_giving_a_job_back_waits_for_no_application() -> Result<()> {
    let (db, recorder, job, _) = last_attempt().await?;
    let mut app = db.pool.begin().await?;
    sqlx::query("SELECT wa.pause('shop')").execute(&mut *app).await?;
    let refused = recorder.give_back(job.id, "connect", 1).await;
    ensure!(refused.as_ref().is_err_and(is_busy), "{refused:?}");
    app.rollback().await?;
    let mut app = db.pool.begin().await?;
    sqlx::query("SELECT FROM wa.session_job FOR UPDATE").execute(&mut *app).await?;
    let refused = recorder.give_back(job.id, "connect", 5).await;
    ensure!(refused.as_ref().is_err_and(is_busy), "{refused:?}");
    app.rollback().await?;
    recorder.give_back(job.id, "connect", 1).await?;
    let left = left(&db).await?;
    ensure!(left == "queued 5", "{left}");
    Ok(())
}

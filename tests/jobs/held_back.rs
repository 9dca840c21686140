//! What is in nobody's hands: messages that are queued again, and messages of a paused campaign that come back (Q13, M1).

use super::{ManualWorker, one, run, session, shop};
use crate::support::db::fresh;
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};
use sqlx::{PgPool, Row as _};
use wagres::jobs::record::Record as _;
use wagres::jobs::{JobError, OutboundJob};

const RETRY_FAILED: &str = include_str!("../../sql/jobs/retry_failed.sql");

/// Records that a message has failed. Nothing is claimed afterwards.
async fn fail(worker: &ManualWorker, job: OutboundJob) -> Result<()> {
    let id = job.id;
    worker.attempts.record(job, Err(JobError::Permanent("refused".into()))).await;
    until("the failure", async || {
        let failed: bool =
            one(&worker.pool, &format!("SELECT status = 'failed' FROM wa.outbound WHERE id = {id}")).await?;
        Ok(failed.then_some(()).ok_or("not yet"))
    })
    .await
}

async fn waits(pool: &PgPool) -> Result<Vec<(String, Option<String>)>> {
    let waits = "SELECT o.body, q.waits_for::text FROM wa.outbound_queue q JOIN wa.outbound o USING (id) ORDER BY q.id";
    Ok(sqlx::query_as(waits).fetch_all(pool).await?)
}

#[tokio::test]
async fn s12_m1_a_failed_message_that_is_queued_again_can_be_cancelled_held_and_expired() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES
            ('shop', '15550001', 'cancelled', NULL), ('shop', '15550002', 'held', 'may'), ('shop', '15550003', 'late', NULL)",
    )
    .await?;
    ensure!(worker.claim().await? == 3);
    while let Some(job) = worker.next() {
        fail(&worker, job).await?;
    }
    // The session sends nothing, so no claim corrects what the last one wrote.
    run(&db.pool, "SELECT wa.pause('shop'); SELECT wa.retry(id) FROM wa.outbound WHERE body = 'cancelled'").await?;
    let why: String = one(&db.pool, "SELECT wa.why(id) FROM wa.outbound WHERE body = 'cancelled'").await?;
    ensure!(why.contains("paused by"), "{why}");
    ensure!(one::<bool>(&db.pool, "SELECT wa.cancel(id) FROM wa.outbound WHERE body = 'cancelled'").await?);
    let job: i64 = one(&db.pool, "SELECT wa.retry_failed('shop')").await?;
    let retry = sqlx::query(RETRY_FAILED)
        .bind(job)
        .bind(None::<i64>)
        .bind(None::<String>)
        .bind(None::<String>)
        .bind(None::<chrono::DateTime<chrono::Utc>>)
        .bind(None::<chrono::DateTime<chrono::Utc>>)
        .bind(0_i64)
        .bind(chrono::DateTime::UNIX_EPOCH)
        .bind(0_i64)
        .bind(100_i64);
    let done = retry.fetch_one(&db.pool).await?;
    ensure!(done.try_get::<i64, _>("retried!")? == 2);
    ensure!(one::<i64>(&db.pool, "SELECT wa.pause_campaign('shop', 'may')").await? == 1);
    run(
        &db.pool,
        "UPDATE wa.outbound_queue q SET expires_at = now() FROM wa.outbound o WHERE o.id = q.id AND o.body = 'late'",
    )
    .await?;
    worker.expire().await?;
    ensure!(one::<bool>(&db.pool, "SELECT status = 'expired' FROM wa.outbound WHERE body = 'late'").await?);
    ensure!(waits(&db.pool).await? == [("held".to_owned(), Some("paused".to_owned()))], "{:?}", waits(&db.pool).await?);
    Ok(())
}

/// A pause of a campaign leaves out what a worker has in hand; what comes back unsent is held.
#[tokio::test]
async fn m1_a_message_of_a_paused_campaign_that_comes_back_is_held() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, campaign)
         SELECT 'shop', '1555000' || n, 'm' || n, 'may' FROM generate_series(1, 4) n;
         INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '15550009', 'other')",
    )
    .await?;
    ensure!(worker.claim().await? == 5);
    ensure!(one::<i64>(&db.pool, "SELECT wa.pause_campaign('shop', 'may')").await? == 0, "all are in hand");
    // One is tried again, one is given back, two stay in hand of a worker that dies.
    for outcome in [JobError::Retry("not sent".into()), JobError::Release("not connected".into())] {
        let job = worker.next().context("a message")?;
        worker.end(job, Err(outcome)).await?;
    }
    run(&db.pool, "UPDATE wa.outbound_queue SET run_at = now() WHERE waits_for = 'retry'").await?;
    ensure!(worker.claim().await? == 0);
    let held = |body: &str| (body.to_owned(), Some("paused".to_owned()));
    let free = |body: &str| (body.to_owned(), None);
    let found = waits(&db.pool).await?;
    ensure!(found == [held("m1"), held("m2"), free("m3"), free("m4"), free("other")], "{found:?}");
    worker.die().await?;
    let found = waits(&db.pool).await?;
    ensure!(found == [held("m1"), held("m2"), held("m3"), held("m4"), free("other")], "{found:?}");
    let mut next = ManualWorker::new(&db.pool).await?;
    next.hold("shop").await?;
    ensure!(next.claim().await? == 1);
    ensure!(one::<i64>(&db.pool, "SELECT wa.resume_campaign('shop', 'may')").await? == 4);
    ensure!(next.claim().await? == 4);
    Ok(())
}

/// An application that pauses a campaign and does not commit: nothing of it is released meanwhile, and nothing else waits.
#[tokio::test]
async fn m1_r8_a_retry_is_not_released_while_its_campaign_is_being_paused() -> Result<()> {
    let (db, mut worker) = shop().await?;
    session(&db.pool, "stall").await?;
    worker.hold("stall").await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '15550001', 'm1', 'may');
         INSERT INTO wa.outbound (session, recipient, body) VALUES ('stall', '15550001', 'other')",
    )
    .await?;
    ensure!(worker.claim().await? == 2);
    let mut open = db.pool.begin().await?;
    sqlx::query("SELECT wa.pause_campaign('shop', 'may')").execute(&mut *open).await?;
    while let Some(job) = worker.next() {
        worker.end(job, Err(JobError::Retry("not sent".into()))).await?;
    }
    run(&db.pool, "UPDATE wa.outbound_queue SET run_at = now()").await?;
    ensure!(worker.claim().await? == 1, "the other session's message");
    open.commit().await?;
    worker.claim().await?;
    let found = waits(&db.pool).await?;
    ensure!(found == [("m1".to_owned(), Some("paused".to_owned())), ("other".to_owned(), None)], "{found:?}");
    Ok(())
}

/// A row of wa.campaign that somebody has deleted by hand keeps no message waiting for ever.
#[tokio::test]
async fn m1_a_retry_of_a_campaign_without_a_row_is_released() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '15550001', 'm1', 'may');
         DELETE FROM wa.campaign",
    )
    .await?;
    ensure!(worker.claim().await? == 1);
    let job = worker.next().context("a message")?;
    worker.end(job, Err(JobError::Retry("not sent".into()))).await?;
    run(&db.pool, "UPDATE wa.outbound_queue SET run_at = now()").await?;
    ensure!(worker.claim().await? == 1);
    Ok(())
}

/// A transaction that inserted before its session was deleted, and commits after: the message goes, too (R6).
#[tokio::test]
async fn r6_a_message_without_a_session_is_found_and_deleted() -> Result<()> {
    let db = fresh().await;
    session(&db.pool, "shop").await?;
    session(&db.pool, "gone").await?;
    run(&db.pool, "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '15550001', 'stays')").await?;
    for mended in [false, true] {
        if mended {
            session(&db.pool, "gone").await?;
        }
        let mut open = db.pool.begin().await?;
        let insert = "INSERT INTO wa.outbound (session, recipient, body) VALUES ('gone', '15550001', 'lost')";
        sqlx::query(insert).execute(&mut *open).await?;
        run(&db.pool, "DELETE FROM wa.session WHERE name = 'gone'").await?;
        open.commit().await?;
        let doctor = include_str!("../../sql/cli/doctor_schema.sql");
        let apart = sqlx::query(doctor).fetch_one(&db.pool).await?.try_get::<i64, _>("apart!")?;
        ensure!(apart == 1, "{apart}");
        if mended {
            run(&db.pool, "SELECT wa.mend_queue()").await?;
        } else {
            let lost = include_str!("../../sql/retention/lost_outbound.sql");
            for (dry_run, count) in [(true, 1), (false, 1), (false, 0)] {
                let found: i64 = sqlx::query_scalar(lost).bind(100_i64).bind(dry_run).fetch_one(&db.pool).await?;
                ensure!(found == count, "{found}");
            }
        }
        let left =
            "SELECT array_agg(body) = '{stays}' AND (SELECT count(*) FROM wa.outbound_queue) = 1 FROM wa.outbound";
        ensure!(one::<bool>(&db.pool, left).await?);
    }
    Ok(())
}

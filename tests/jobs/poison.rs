//! R10: an outcome that the database does not take holds up no other outcome.

use super::{ManualWorker, one, run, session};
use crate::support::db;
use crate::support::poison::{accept, refuse};
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};
use sqlx::PgPool;
use wagres::jobs::record::Record as _;

/// Messages to as many chats, all under way in the hands of a worker.
async fn under_way(pool: &PgPool, bodies: &[&str]) -> Result<(ManualWorker, Vec<wagres::jobs::OutboundJob>)> {
    session(pool, "shop").await?;
    for (n, body) in bodies.iter().enumerate() {
        let insert =
            format!("INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '1555000{n}', '{body}')");
        run(pool, &insert).await?;
    }
    let mut worker = ManualWorker::new(pool).await?;
    worker.hold("shop").await?;
    worker.claim().await?;
    let mut jobs = vec![];
    while let Some(job) = worker.next() {
        jobs.push(job);
    }
    ensure!(jobs.len() == bodies.len(), "{} of {} are under way", jobs.len(), bodies.len());
    Ok((worker, jobs))
}

/// Waits until `query` gives true.
async fn holds(pool: &PgPool, query: &str) -> Result<()> {
    until(query, async || {
        let holds: Option<bool> = one(pool, query).await?;
        Ok(if holds == Some(true) { Ok(()) } else { Err("not yet") })
    })
    .await
}

#[tokio::test]
async fn r10_a_refused_outcome_is_quarantined_alone_and_its_message_is_not_sent_again() -> Result<()> {
    let db = db::fresh().await;
    let bodies = ["a", "b", "poison", "c", "d"];
    let (mut worker, jobs) = under_way(&db.pool, &bodies).await?;
    refuse(&db.pool, "outbound", "NEW.body = 'poison'", "22P02").await?;
    let poison = jobs.iter().find(|job| job.body.as_deref() == Some("poison")).context("no poison")?.id;
    for job in jobs {
        worker.attempts.record(job, Ok(())).await;
    }
    holds(&db.pool, "SELECT count(*) = 4 FROM wa.outbound WHERE status = 'sent'").await?;
    let kept = format!(
        "SELECT bool_and(source = 'progress' AND code = '22P02' AND session = 'shop'
                         AND convert_from(data, 'UTF8')::jsonb -> 'id' = '{poison}') FROM wa.quarantine"
    );
    holds(&db.pool, &kept).await?;
    holds(&db.pool, "SELECT count(*) = 1 FROM wa.event WHERE kind = 'item_quarantined'").await?;
    // The message was sent, so nobody sends it again.
    until("the others out of hand", async || {
        let (_, ids) = worker.lanes.in_hand();
        Ok(if ids == [poison] { Ok(()) } else { Err(format!("{ids:?}")) })
    })
    .await?;
    ensure!(worker.claim().await? == 0, "the message was claimed again");
    accept(&db.pool).await?;
    worker.die().await
}

#[tokio::test]
async fn r10_an_outcome_that_waits_for_a_lock_waits_alone_until_it_is_written() -> Result<()> {
    let db = db::fresh().await;
    let (mut worker, jobs) = under_way(&db.pool, &["a", "poison", "b"]).await?;
    refuse(&db.pool, "outbound", "NEW.body = 'poison'", "55P03").await?;
    for job in jobs {
        worker.attempts.record(job, Ok(())).await;
    }
    holds(&db.pool, "SELECT count(*) = 2 FROM wa.outbound WHERE status = 'sent'").await?;
    // Batches after it pass, too.
    run(&db.pool, "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '15550009', 'later')").await?;
    worker.claim().await?;
    let later = worker.next().context("not claimed")?;
    worker.end(later, Ok(())).await?;
    ensure!(one::<i64>(&db.pool, "SELECT count(*) FROM wa.outbound WHERE status = 'sent'").await? == 3);
    accept(&db.pool).await?;
    holds(&db.pool, "SELECT count(*) = 4 FROM wa.outbound WHERE status = 'sent'").await?;
    ensure!(one::<i64>(&db.pool, "SELECT count(*) FROM wa.quarantine").await? == 0, "a lock is no poison");
    worker.die().await
}

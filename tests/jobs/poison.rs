//! R10: an outcome that the database does not take holds up no other outcome.

use super::{ManualWorker, one, run, session};
use crate::support::db;
use crate::support::poison::{accept, refuse};
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};
use sqlx::{Connection as _, PgConnection, PgPool};
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

/// Rows of a batch that is written in pieces. The one that an application has locked is written when it is free, and the
/// others are out of hand, although one more of that batch still waits for a lock.
#[tokio::test]
async fn r10_r8_no_outcome_of_a_batch_waits_for_one_that_waits_for_a_lock() -> Result<()> {
    let db = db::fresh().await;
    let (mut worker, jobs) = under_way(&db.pool, &["a", "poison", "b"]).await?;
    refuse(&db.pool, "outbound", "NEW.body = 'poison'", "55P03").await?;
    let poison = jobs.iter().find(|job| job.body.as_deref() == Some("poison")).context("no poison")?.id;
    let mut app = PgConnection::connect(&db.url).await?;
    sqlx::raw_sql("BEGIN; SELECT FROM wa.outbound WHERE body = 'a' FOR UPDATE").execute(&mut app).await?;
    for job in jobs {
        worker.attempts.record(job, Ok(())).await;
    }
    holds(&db.pool, "SELECT status = 'sent' FROM wa.outbound WHERE body = 'b'").await?;
    ensure!(one::<String>(&db.pool, "SELECT status::text FROM wa.outbound WHERE body = 'a'").await? != "sent");
    sqlx::raw_sql("ROLLBACK").execute(&mut app).await?;
    holds(&db.pool, "SELECT status = 'sent' FROM wa.outbound WHERE body = 'a'").await?;
    until("the others out of hand", async || {
        let (_, ids) = worker.lanes.in_hand();
        Ok(if ids == [poison] { Ok(()) } else { Err(format!("{ids:?}")) })
    })
    .await?;
    ensure!(one::<String>(&db.pool, "SELECT status::text FROM wa.outbound WHERE body = 'poison'").await? != "sent");
    accept(&db.pool).await?;
    holds(&db.pool, "SELECT bool_and(status = 'sent') FROM wa.outbound").await?;
    ensure!(worker.claim().await? == 0);
    worker.die().await
}

/// Rows from which a claim cannot compute, each of another session: a time zone that the server no longer knows, an
/// interval whose parts cancel out, numbers and times at the ends of their types.
#[tokio::test]
async fn r10_a_pacing_that_cannot_be_computed_holds_back_its_session_alone() -> Result<()> {
    let db = db::fresh().await;
    let names = ["plain", "quiet", "counted", "jitter", "bucket", "never", "later"];
    for name in names {
        session(&db.pool, name).await?;
    }
    run(
        &db.pool,
        "SELECT wa.set_pacing('quiet', quiet_from => '22:00', quiet_until => '06:00'), wa.set_pacing('counted', first_contacts => 1),
                wa.set_pacing('jitter', per_minute => 60), wa.set_pacing('bucket', per_minute => 60, burst => 10);
         ALTER TABLE wa.pacing DISABLE TRIGGER validate;
         UPDATE wa.pacing SET time_zone = 'Gone/Zone' WHERE session_id IN (wa.session_id('quiet'), wa.session_id('counted'));
         UPDATE wa.pacing SET jitter = '71000000 months -2130000000 days 1 second' WHERE session_id = wa.session_id('jitter');
         ALTER TABLE wa.pacing ENABLE TRIGGER validate;
         UPDATE wa.sending SET tokens = 'NaN', counted_at = '294276-12-31' WHERE session_id = wa.session_id('bucket');
         INSERT INTO wa.outbound (session, recipient, body) SELECT name, '15550001', name FROM wa.session;
         UPDATE wa.outbound_queue SET expires_at = 'infinity' WHERE session_id = wa.session_id('never');
         INSERT INTO wa.outbound (session, recipient, body, send_at) VALUES ('later', '15550002', 'x', now() + interval '1 day');
         UPDATE wa.outbound_queue SET run_at = 'infinity' WHERE waits_for = 'scheduled'",
    )
    .await?;
    let mut worker = ManualWorker::new(&db.pool).await?;
    for name in names {
        worker.hold(name).await?;
    }
    worker.claim().await?;
    let mut claimed = std::collections::BTreeSet::new();
    while let Some(job) = worker.next() {
        claimed.insert(job.body.clone().unwrap_or_default());
        worker.end(job, Ok(())).await?;
    }
    let others: Vec<&str> = names.into_iter().filter(|name| *name != "quiet").collect();
    ensure!(claimed.len() == others.len() && others.iter().all(|name| claimed.contains(*name)), "{claimed:?}");
    let waits = "SELECT waits_for = 'quiet_hours' AND run_at > now() FROM wa.outbound_queue JOIN wa.outbound USING (id) WHERE body = 'quiet'";
    ensure!(one::<bool>(&db.pool, waits).await?, "the message does not say why it waits");
    let reason: String = one(&db.pool, "SELECT reason FROM wa.reasons() WHERE session = 'quiet'").await?;
    ensure!(reason.contains("the server does not know the time zone Gone/Zone of its quiet hours"), "{reason}");
    run(&db.pool, "SELECT wa.clear_pacing('quiet')").await?;
    until("the message of the session", async || {
        let claimed = worker.claim().await?;
        Ok(if claimed == 1 { Ok(()) } else { Err(claimed) })
    })
    .await
}

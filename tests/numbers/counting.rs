//! Each message is counted once in each state, and a failure has its class.

use super::{begin, counted, levels_agree, next, reported};
use crate::jobs::{one, run, shop};
use crate::support::db::fresh;
use crate::support::docs;
use crate::support::until::until;
use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection};
use wagres::jobs::JobError;
use wagres::jobs::change::Reached;
use wagres::jobs::failure::FailureClass;
use wagres::jobs::numbers::LATENCY_BOUNDS;

#[tokio::test]
async fn h2_a_message_is_counted_once_in_each_state_and_in_its_minute() -> Result<()> {
    let (db, mut worker) = shop().await?;
    // Sent, then delivered, read and played, each reported twice.
    let job = begin(&mut worker, "one").await?;
    worker.end(job.clone(), Ok(())).await?;
    counted(&worker, [1, 1, 0, 0, 0, 0, 0, 0]).await?;
    for reached in [Reached::Delivered, Reached::Read, Reached::Played] {
        for _ in 0..2 {
            reported(&worker, &job, reached, None).await;
        }
    }
    counted(&worker, [1, 1, 1, 1, 1, 1, 0, 0]).await?;
    reported(&worker, &job, Reached::Delivered, None).await;
    // Read before the ack, as a phone says that was offline.
    let job = begin(&mut worker, "two").await?;
    let earlier = one::<DateTime<Utc>>(&db.pool, "SELECT now() - interval '2 seconds'").await?;
    reported(&worker, &job, Reached::Read, Some(earlier)).await;
    counted(&worker, [2, 2, 2, 2, 2, 1, 0, 0]).await?;
    reported(&worker, &job, Reached::Delivered, Some(earlier)).await;
    worker.end(job, Ok(())).await?;
    // An attempt that is not made does not count; one that fails does, and the message once.
    // One expires in the queue.
    let job = begin(&mut worker, "three").await?;
    worker.end(job, Err(JobError::Release("not tried".into()))).await?;
    let job = next(&mut worker).await?;
    worker.end(job, Err(JobError::Retry("not now".into()))).await?;
    run(&db.pool, "SELECT wa.retry(max(id)) FROM wa.outbound").await?;
    let job = next(&mut worker).await?;
    worker.end(job, Ok(())).await?;
    counted(&worker, [3, 3, 2, 2, 2, 1, 0, 0]).await?;
    // A message that failed was sent after all.
    let job = begin(&mut worker, "four").await?;
    worker.end(job.clone(), Err(JobError::Permanent("never".into()))).await?;
    reported(&worker, &job, Reached::Delivered, None).await;
    counted(&worker, [4, 4, 3, 3, 2, 1, 1, 0]).await?;
    // Expired in hand, and in the queue.
    let job = begin(&mut worker, "five").await?;
    worker.end(job, Err(JobError::Expired)).await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '15550001', 'six', 'may');
                   UPDATE wa.outbound_queue SET expires_at = now()",
    )
    .await?;
    worker.expire().await?;
    counted(&worker, [6, 4, 3, 3, 2, 1, 1, 2]).await?;

    levels_agree(&db.pool, true).await?;
    let wrong = "SELECT count(*) FROM (
            SELECT date_trunc('minute', m.at) AS at, m.what, count(*) AS messages FROM wa.outbound o
            CROSS JOIN LATERAL (VALUES ('sent', o.sent_at), ('played', o.played_at), ('expired', o.expired_at)) m (what, at)
            -- Counted when it was known.
            WHERE m.at IS NOT NULL AND o.body <> 'two' GROUP BY 1, 2) m
        WHERE m.messages <> (SELECT CASE m.what WHEN 'sent' THEN n.sent WHEN 'played' THEN n.played ELSE n.expired END
                             - CASE WHEN m.what = 'sent' THEN (SELECT count(*) FROM wa.outbound t WHERE t.body = 'two'
                                 AND date_trunc('minute', t.delivered_at) = m.at) ELSE 0 END
                             FROM wa.numbers n WHERE n.session_id IS NOT NULL AND n.span = 'minute' AND n.at = m.at)";
    // The one that is counted later than it was sent may be at the edge of a minute.
    let edge = "SELECT date_trunc('minute', delivered_at) <> date_trunc('minute', delivered_at + interval '5 seconds') FROM wa.outbound WHERE body = 'two'";
    ensure!(one::<i64>(&db.pool, wrong).await? == 0 || one::<bool>(&db.pool, edge).await?, "not in its minute");
    Ok(())
}

/// A message of yesterday that is delivered now, and one of two minutes ago.
#[tokio::test]
async fn h2_delivered_soon_counts_in_the_minute_of_the_send() -> Result<()> {
    let (db, mut worker) = shop().await?;
    let mut jobs = vec![];
    for body in ["late", "soon"] {
        let job = begin(&mut worker, body).await?;
        worker.end(job.clone(), Ok(())).await?;
        jobs.push(job);
    }
    counted(&worker, [2, 2, 0, 0, 0, 0, 0, 0]).await?;
    run(
        &db.pool,
        "UPDATE wa.outbound SET sent_at = sent_at - CASE body WHEN 'late' THEN interval '1 day' ELSE interval '2 minutes' END",
    )
    .await?;
    for job in &jobs {
        reported(&worker, job, Reached::Delivered, None).await;
    }
    counted(&worker, [2, 2, 2, 1, 0, 0, 0, 0]).await?;
    let place =
        "SELECT (SELECT at FROM wa.numbers WHERE delivered_soon > 0 AND session_id IS NOT NULL AND span = 'minute')
                        = (SELECT date_trunc('minute', sent_at) FROM wa.outbound WHERE body = 'soon')";
    ensure!(one::<bool>(&db.pool, place).await?, "not in the minute of the send");
    Ok(())
}

#[tokio::test]
async fn h2_each_class_of_a_failure_is_in_the_row_and_counted() -> Result<()> {
    let (db, mut worker) = shop().await?;
    for (place, class) in FailureClass::ALL.into_iter().enumerate() {
        let job = begin(&mut worker, class.name()).await?;
        let error = if place % 2 == 0 {
            JobError::Permanent("never".into())
        } else {
            run(&db.pool, "UPDATE wa.outbound SET max_attempts = 1 WHERE status = 'queued'").await?;
            JobError::Retry("not now".into())
        };
        worker.end(job, Err(error.of_class(class).of_class(FailureClass::Worker))).await?;
    }
    // Nobody has classed it.
    let job = begin(&mut worker, "worker").await?;
    worker.end(job, Err(JobError::Permanent("never".into()))).await?;
    counted(&worker, [9, 0, 0, 0, 0, 0, 9, 0]).await?;
    let wrong = "SELECT count(*) FROM wa.failure f JOIN wa.outbound o USING (id) WHERE f.failure <> o.body OR f.failure IS NULL";
    ensure!(one::<i64>(&db.pool, wrong).await? == 0);
    let classes = "SELECT string_agg(class || ' ' || failed, ', ') FROM wa.failures_since('shop', '1 hour')";
    let classes: String = one(&db.pool, classes).await?;
    ensure!(
        classes == "worker 2, not_on_whatsapp 1, refused 1, limited 1, content 1, media 1, connection 1, server 1",
        "{classes}"
    );
    levels_agree(&db.pool, true).await?;
    // Those of a class, the latest first, come from an index as they are.
    let listed = "EXPLAIN SELECT id FROM wa.outbound_failed WHERE session_id = 1 AND failure = 'media' ORDER BY failed_at DESC LIMIT 20";
    let mut connection = PgConnection::connect(&db.url).await?;
    sqlx::query("SET enable_seqscan = off").execute(&mut connection).await?;
    let plan: Vec<String> = sqlx::query_scalar(listed).fetch_all(&mut connection).await?;
    let plan = plan.join("\n");
    ensure!(plan.contains("outbound_failed_class") && !plan.contains("Sort"), "{plan}");
    run(&db.pool, "SELECT wa.retry(id) FROM wa.outbound").await?;
    let left = "SELECT count(*) FROM wa.outbound WHERE failure IS NOT NULL OR failed_at IS NOT NULL";
    ensure!(one::<i64>(&db.pool, left).await? == 0, "wa.retry leaves the class");
    ensure!(one::<i64>(&db.pool, "SELECT count(*) FROM wa.outbound_failed").await? == 0, "wa.retry leaves a failure");
    Ok(())
}

#[tokio::test]
async fn h2_a_message_of_a_dead_worker_fails_with_its_class() -> Result<()> {
    let (db, mut worker) = shop().await?;
    begin(&mut worker, "deadly").await?;
    run(&db.pool, "UPDATE wa.outbound SET max_attempts = 1").await?;
    until("the message to be under way", async || {
        let status: String = one(&db.pool, "SELECT status::text FROM wa.outbound").await?;
        Ok(if status == "sending" { Ok(()) } else { Err(status) })
    })
    .await?;
    worker.die().await?;
    ensure!(one::<bool>(&db.pool, "SELECT failure = 'worker' AND failed_at IS NOT NULL FROM wa.outbound").await?);
    Ok(())
}

#[tokio::test]
async fn h2_the_classes_are_one_list() -> Result<()> {
    let db = fresh().await;
    let of_rust: Vec<&str> = FailureClass::ALL.iter().map(|class| class.name()).collect();
    for (what, list) in [
        (
            "the constraint",
            "SELECT array_agg(m[1]) FROM pg_constraint c, regexp_matches(pg_get_constraintdef(c.oid), '([a-z_]+)''::text', 'g') m WHERE c.conname = 'outbound_failure_check'",
        ),
        ("the list", "SELECT array_agg(class) FROM wa.failure_classes()"),
        (
            "the columns",
            "SELECT array_agg(substr(attname, 8)::text ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'wa.numbers'::regclass AND attname ~ '^failed_'",
        ),
    ] {
        let found: Vec<String> = one(&db.pool, list).await?;
        ensure!(found == of_rust, "{what}: {found:?}");
    }
    let bounds: Vec<f64> = one(&db.pool, "SELECT wa.latency_bounds()").await?;
    ensure!(bounds == LATENCY_BOUNDS, "{bounds:?}");
    let rows =
        "SELECT string_agg(format('| `%s` | %s | %s |', class, meaning, remedy), E'\n') FROM wa.failure_classes()";
    let rows: String = one(&db.pool, rows).await?;
    docs::table(
        "docs/messages.md",
        "failures",
        &format!("| class | meaning | what helps |\n| --- | --- | --- |\n{rows}\n"),
    )
}
